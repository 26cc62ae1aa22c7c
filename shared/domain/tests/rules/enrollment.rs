//! The rules of enrollments: who may change what, the life of a request, and what proves who asks.

mod authority;
mod cases;
mod histories;
mod methods;
mod proofs;
mod states;
