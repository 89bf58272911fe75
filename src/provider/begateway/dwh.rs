//! beGateway DWH: keyset paging by date and uid.
