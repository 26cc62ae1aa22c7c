//! The allocator of every service: a request makes many small, short-lived allocations on several threads, of
//! which glibc's allocator took a fifth of the processor time in the profile of `./ops/bench`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
