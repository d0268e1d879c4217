//! Tests against real parts: ClickHouse, Kafka, SMTP, HTTP. One binary, so that it links once.

mod generate;
