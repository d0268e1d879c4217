//! Finds `libchdb.so` and calls its single function. All unsafe code of the crate is here.

use std::env;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use libloading::Library;

use super::EmbeddedError;
use crate::cache;

/// Path below the cache root (`KEYWATCH_CACHE`), where `make setup` installs the library.
const PLACE_IN_CACHE: &str = "node/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";

/// `local_result * chdb_query_cmdline(int argc, char ** argv)`: chdb.h of chDB 26.7. It behaves
/// as `clickhouse local` with these arguments and returns when their queries have ended.
type QueryCommandLine = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;

/// Returns the path in `KEYWATCH_LIBCHDB`, or the path in the cache.
///
/// # Errors
/// [`EmbeddedError::LibraryMissing`] if the file does not exist.
pub(super) fn find() -> Result<PathBuf, EmbeddedError> {
    let path = match env::var_os("KEYWATCH_LIBCHDB") {
        Some(path) => PathBuf::from(path),
        None => cache::root().ok_or(EmbeddedError::NoCacheDirectory)?.join(PLACE_IN_CACHE),
    };
    if path.is_file() { Ok(path) } else { Err(EmbeddedError::LibraryMissing { path }) }
}

/// Runs `clickhouse local` with `arguments` inside this process, until its queries have ended. Its
/// messages go to standard error.
///
/// # Errors
/// [`EmbeddedError::LibraryUnusable`] when `path` cannot be loaded.
pub(super) fn run(path: &Path, arguments: Vec<CString>) -> Result<(), EmbeddedError> {
    let unusable = |source| EmbeddedError::LibraryUnusable { path: path.to_owned(), source };
    // SAFETY: loading runs the library's initializers. Those of libchdb set up its own allocator
    // and static data and require nothing of the process that loads it.
    let library = unsafe { Library::new(path) }.map_err(unusable)?;
    // SAFETY: the type is the function's declaration in chdb.h; the result is opaque here.
    let query =
        unsafe { library.get::<QueryCommandLine>(c"chdb_query_cmdline") }.map_err(unusable)?;
    let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    // The list has a handful of arguments, so the count fits.
    let count = pointers.len() as c_int;
    // SAFETY: `pointers` holds `count` terminated strings. They are writable and live until the
    // process ends, since `into_raw` leaked them. The result is never freed; the process ends soon
    // after.
    unsafe { query(count, pointers.as_mut_ptr()) };
    // Threads of the library may still run, and unloading would remove the code they execute.
    std::mem::forget(library);
    Ok(())
}
