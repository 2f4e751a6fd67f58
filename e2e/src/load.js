// The script that k6 runs: requests at the times that the stages give, whether or not earlier ones have been answered.
// Each has a connection of its own, so that a Service spreads them over the pods that there are at that moment.
import http from 'k6/http';

export const options = {
  scenarios: {
    load: {
      executor: 'ramping-arrival-rate',
      startRate: 0,
      timeUnit: '1s',
      stages: JSON.parse(__ENV.STAGES),
      preAllocatedVUs: 20,
      maxVUs: Number(__ENV.MOST_AT_ONCE),
    },
  },
  noConnectionReuse: true,
  summaryTrendStats: ['p(50)', 'p(95)', 'max'],
};

export default function () {
  http.get(__ENV.URL, { timeout: '5s' });
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics) };
}
