//! `libchdb.so`: where it is, and the one function called in it. The only unsafe code here.

use std::env;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use libloading::Library;

use super::EmbeddedError;
use crate::cache;

/// Place below the cache root (`KEYWATCH_CACHE`), where `make setup` puts it.
const PLACE_IN_CACHE: &str = "node/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";

/// `local_result * chdb_query_cmdline(int argc, char ** argv)`: chdb.h of chDB 26.7. It behaves
/// as `clickhouse local` with these arguments and returns when their queries have ended.
type QueryCommandLine = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;

/// `KEYWATCH_LIBCHDB`, or the place in the cache.
///
/// # Errors
/// [`EmbeddedError::LibraryMissing`] when there is no such file.
pub(super) fn find() -> Result<PathBuf, EmbeddedError> {
    let path = match env::var_os("KEYWATCH_LIBCHDB") {
        Some(path) => PathBuf::from(path),
        None => cache::root().ok_or(EmbeddedError::NoCacheDirectory)?.join(PLACE_IN_CACHE),
    };
    if path.is_file() { Ok(path) } else { Err(EmbeddedError::LibraryMissing { path }) }
}

/// Runs `clickhouse local` with `arguments` inside this process, until its queries have ended.
/// What it has to say goes to standard error.
///
/// # Errors
/// [`EmbeddedError::LibraryUnusable`] when `path` cannot be loaded.
pub(super) fn run(path: &Path, arguments: Vec<CString>) -> Result<(), EmbeddedError> {
    let unusable = |source| EmbeddedError::LibraryUnusable { path: path.to_owned(), source };
    // SAFETY: loading runs the library's initializers. Those of libchdb set up its own
    // allocator and static data and ask nothing of the process that loads it.
    let library = unsafe { Library::new(path) }.map_err(unusable)?;
    // SAFETY: the type is the function's declaration in chdb.h; the result is opaque here.
    let query =
        unsafe { library.get::<QueryCommandLine>(c"chdb_query_cmdline") }.map_err(unusable)?;
    let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    // A handful of arguments: the count fits.
    let count = pointers.len() as c_int;
    // SAFETY: `pointers` holds `count` terminated strings, writable and alive for the rest of
    // the process, since `into_raw` gave them up. The result is freed by the end of the process.
    unsafe { query(count, pointers.as_mut_ptr()) };
    // Its threads may still run: unloading would take the code from under them.
    std::mem::forget(library);
    Ok(())
}
