// The k6 script: an open loop that sends requests at the rate of the stages, regardless of responses.
// Each request uses a new connection, so that the Service balances it over the pods that are ready at that moment.
import http from 'k6/http';
import { Counter } from 'k6/metrics';

// Servers that are overloaded answer 503 at once. Every other failure is printed, because it has a cause of its own.
const refused = new Counter('refused');

export const options = {
  scenarios: {
    load: {
      executor: 'ramping-arrival-rate',
      startRate: 0,
      timeUnit: '1s',
      stages: JSON.parse(__ENV.STAGES),
      preAllocatedVUs: 20,
      maxVUs: Number(__ENV.MAX_IN_FLIGHT),
    },
  },
  noConnectionReuse: true,
  summaryTrendStats: ['p(50)', 'p(95)', 'max'],
};

export default function () {
  const response = http.get(__ENV.URL, { timeout: '5s' });
  if (response.status === 503) {
    refused.add(1);
  } else if (response.status !== 200) {
    console.error(`status ${response.status} ${response.error}`);
  }
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics) };
}
