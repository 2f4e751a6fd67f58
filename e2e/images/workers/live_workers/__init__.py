"""What consumes and produces in the live tests: Kafka messages and RQ jobs, at a pace that the tests set."""
