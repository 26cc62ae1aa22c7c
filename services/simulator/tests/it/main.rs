//! The simulator from outside: a customer's server, an API client and a gateway of the tests' own.
//!
//! Nothing here uses the simulator's code but `start` and the credentials; signatures are checked independently.

#[cfg(test)]
mod activation;
#[cfg(test)]
mod callbacks;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod conduct;
#[cfg(test)]
mod customer;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod prompts;
#[cfg(test)]
mod push;
#[cfg(test)]
mod push_faults;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod webhooks;
