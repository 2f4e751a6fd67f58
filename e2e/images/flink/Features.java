import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;

/** Reduces the events of a Kafka topic to one per second. A file makes it slow. */
public class Features {
    private static final Path SLOW = Path.of("/tmp/slow");
    private static final int SLOW_MILLISECONDS = 500;
    // So that few events fill the buffers between two tasks.
    private static final int EVENT_BYTES = 1000;

    public static void main(String[] arguments) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
        KafkaSource<String> events = KafkaSource.<String>builder()
            .setBootstrapServers("kafka:9092").setTopics("events").setGroupId("features")
            .setValueOnlyDeserializer(new SimpleStringSchema())
            .build();
        MapFunction<String, String> enlarge = event -> event + " ".repeat(EVENT_BYTES);
        MapFunction<String, String> work = event -> {
            if (Files.exists(SLOW)) {
                Thread.sleep(SLOW_MILLISECONDS);
            }
            return event;
        };
        WatermarkStrategy<String> times = WatermarkStrategy.forBoundedOutOfOrderness(Duration.ofMillis(100));
        environment.fromSource(events, times, "events")
            .map(enlarge).returns(String.class)
            // Another task: only then there are buffers between them.
            .rebalance()
            .map(work).returns(String.class)
            .keyBy(event -> 0)
            .window(TumblingEventTimeWindows.of(Duration.ofSeconds(1)))
            .reduce((one, other) -> other)
            .sinkTo(new DiscardingSink<>());
        environment.execute("features-job");
    }
}
