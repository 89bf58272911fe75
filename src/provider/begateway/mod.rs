//! What the two beGateway APIs share: currency decimals, vocabulary, error answers.

pub mod dwh;
