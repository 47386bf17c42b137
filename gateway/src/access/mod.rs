//! Authentication and authorization of callers: TLS, the front proxy and its users, access reviews, and pods that pull.

pub mod front_proxy;
pub mod pods;
pub mod review;
pub mod tls;
