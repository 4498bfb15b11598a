//! The gateway as its callers meet it: over real sockets, byte by byte where HTTP is bent.

#[cfg(test)]
mod bad_http;
#[cfg(test)]
mod capturing;
#[cfg(test)]
mod choosing;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod deferring;
#[cfg(test)]
mod draining;
#[cfg(test)]
mod encrypted;
#[cfg(test)]
mod metering;
#[cfg(test)]
mod own_calls;
#[cfg(test)]
mod slow_callers;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod swapping;
#[cfg(test)]
mod verifying;
#[cfg(test)]
mod world;
