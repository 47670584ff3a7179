//! Memory of the data plane, straight from the kernel: zeroed, page aligned, in huge pages if wanted.
//!
//! A [`Region`] owns a range of such memory and is used as a plain slice of bytes, so that safe code can own one as it
//! owns a `Box<[u8]>`. Regions that were split from each other never overlap.

use std::ffi::{CStr, c_void};
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use corecast_wire::HugePages;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

/// Size of a huge page where pages have 4 KiB.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A file in memory that several processes may map: nobody can make it shorter, or longer. It reads as zeros, and pages
/// that are not touched take no memory.
///
/// # Errors
/// If the system refuses it.
pub(crate) fn memory_file(name: &CStr, bytes: u64) -> io::Result<File> {
    let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.set_len(bytes)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL))?;
    Ok(file)
}

/// Pages from the kernel, which has them back when this is dropped.
struct Mapping {
    start: NonNull<c_void>,
    bytes: NonZeroUsize,
}

// SAFETY: a mapping is an address and a length. Any thread may hold it and any thread may unmap it.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives no access to the memory.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(bytes: NonZeroUsize) -> io::Result<Self> {
        let (protection, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE);
        // SAFETY: the kernel chooses a place where nothing is mapped.
        let start = unsafe { mmap_anonymous(None, bytes, protection, flags) }?;
        Ok(Self { start, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` and unmapped once. No region points into it: each region holds its mapping.
        let _ = unsafe { munmap(self.start, self.bytes.get()) };
    }
}

/// Bytes at one place for as long as the region lives.
pub(crate) struct Region {
    start: NonNull<u8>,
    bytes: usize,
    /// Shared with the regions that were split from this one.
    mapping: Arc<Mapping>,
}

// SAFETY: a region is the only owner of its bytes, like a box, and its mapping may be dropped on any thread.
unsafe impl Send for Region {}

impl Region {
    /// Zeroed memory. Huge pages are a wish: a kernel that has none, or none free, gives small ones.
    ///
    /// # Errors
    /// If the system has no memory.
    pub(crate) fn new(bytes: usize, huge_pages: HugePages) -> io::Result<Self> {
        let huge = huge_pages == HugePages::Auto && bytes >= HUGE_PAGE_BYTES;
        // A huge page begins at a multiple of its size, which can lie up to one huge page behind the mapping's start.
        let mapped = if huge { bytes.next_multiple_of(HUGE_PAGE_BYTES) + HUGE_PAGE_BYTES } else { bytes };
        let mapping = Mapping::new(NonZeroUsize::new(mapped).unwrap_or(NonZeroUsize::MIN))?;
        let address = mapping.start.addr().get();
        let offset = if huge { address.next_multiple_of(HUGE_PAGE_BYTES) - address } else { 0 };
        // SAFETY: the offset is less than a huge page, and the mapping is that much longer than the region.
        let start = unsafe { mapping.start.cast::<u8>().add(offset) };
        if huge {
            // SAFETY: the range lies within the mapping, and the advice does not change its contents.
            let _ =
                unsafe { madvise(start.cast(), bytes.next_multiple_of(HUGE_PAGE_BYTES), MmapAdvise::MADV_HUGEPAGE) };
        }
        Ok(Self { start, bytes, mapping: Arc::new(mapping) })
    }

    /// Splits the region in two: this one keeps the first `at` bytes, the rest is returned.
    ///
    /// # Panics
    /// If the region is shorter than `at`.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        assert!(at <= self.bytes, "a region of {} bytes is not split at {at}", self.bytes);
        // SAFETY: `at` lies within the region or at its end.
        let start = unsafe { self.start.add(at) };
        let rest = Self { start, bytes: self.bytes - at, mapping: Arc::clone(&self.mapping) };
        self.bytes = at;
        rest
    }

    /// Zeroed memory that is never given back: that of a worker, which lives as long as its process.
    ///
    /// # Errors
    /// If the system has no memory.
    pub(crate) fn of_process(bytes: usize, huge_pages: HugePages) -> io::Result<&'static mut [u8]> {
        Ok(&mut **Box::leak(Box::new(Self::new(bytes, huge_pages)?)))
    }

    /// A part of a file as numbers, for as long as the process lives: who opens the file later finds them there.
    /// `offset` is a multiple of a page.
    ///
    /// # Errors
    /// If the file is shorter, or the system has no room for the mapping.
    pub(crate) fn words_of_file(file: &File, offset: u64, count: usize) -> io::Result<&'static [AtomicU64]> {
        let bytes = count.saturating_mul(size_of::<AtomicU64>());
        let end = offset.checked_add(bytes as u64).filter(|end| file.metadata().is_ok_and(|file| file.len() >= *end));
        let length = NonZeroUsize::new(bytes).filter(|_| end.is_some()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses a place where nothing is mapped.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, file, offset) }?;
        // SAFETY: it is mapped for as long as the process lives, begins with a page, and is only ever used as atomic
        // numbers; all bytes make some. The file is as long (it is sealed against being made shorter).
        Ok(unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>().as_ptr(), count) })
    }

    /// Where the region begins. For memory that the kernel may be writing to, of which no slice must be made.
    pub(crate) const fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the region lies within its mapping, which it keeps alive; the kernel has zeroed it; no other region
        // has these bytes, and the borrow of `self` keeps them from being written to.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_page_aligned_and_as_long_as_asked_for() {
        for huge_pages in [HugePages::Auto, HugePages::Off] {
            for bytes in [0, 1, 4_096, 100_000, HUGE_PAGE_BYTES - 1, HUGE_PAGE_BYTES, 5_000_001] {
                let mut region = Region::new(bytes, huge_pages).expect("memory");
                assert_eq!(region.len(), bytes);
                assert!(region.iter().all(|byte| *byte == 0));
                let align =
                    if huge_pages == HugePages::Auto && bytes >= HUGE_PAGE_BYTES { HUGE_PAGE_BYTES } else { 4_096 };
                assert_eq!(region.start().addr().get() % align, 0, "{bytes} bytes, {huge_pages:?}");
                region.fill(0xff);
                assert!(region.iter().all(|byte| *byte == 0xff), "every byte can be written to");
            }
        }
    }

    #[test]
    fn regions_that_were_split_do_not_overlap_and_outlive_each_other() {
        let mut first = Region::new(10_000, HugePages::Off).expect("memory");
        let mut second = first.split_off(3_000);
        let mut third = second.split_off(7_000);
        assert_eq!((first.len(), second.len(), third.len()), (3_000, 7_000, 0));
        first.fill(1);
        second.fill(2);
        third.fill(3);
        assert!(first.iter().all(|byte| *byte == 1));
        drop(first);
        let second = std::thread::spawn(move || second).join().expect("a region may change its thread");
        assert!(second.iter().all(|byte| *byte == 2));
    }

    /// Whether the mapping at `address` is marked for huge pages (`hg`, proc_pid_smaps(5)).
    fn is_marked(address: usize) -> bool {
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("readable");
        let range = |line: &str| {
            let (from, to) = line.split_once(' ')?.0.split_once('-')?;
            Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
        };
        let mut rest = smaps.lines().skip_while(|line| !range(line).is_some_and(|range| range.contains(&address)));
        let flags = rest.find(|line| line.starts_with("VmFlags:")).expect("mapped");
        flags.split_ascii_whitespace().any(|flag| flag == "hg")
    }

    #[test]
    fn huge_pages_are_asked_for_only_where_they_are_wanted() {
        let has_huge_pages = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
        for (huge_pages, bytes, wanted) in [
            (HugePages::Auto, 3 * HUGE_PAGE_BYTES, true),
            (HugePages::Auto, HUGE_PAGE_BYTES - 1, false),
            (HugePages::Off, 3 * HUGE_PAGE_BYTES, false),
        ] {
            let region = Region::new(bytes, huge_pages).expect("memory");
            assert_eq!(
                is_marked(region.start().addr().get()),
                wanted && has_huge_pages,
                "{huge_pages:?}, {bytes} bytes"
            );
        }
    }

    #[test]
    #[should_panic(expected = "not split at 11")]
    fn a_region_is_not_split_behind_its_end() {
        Region::new(10, HugePages::Off).expect("memory").split_off(11);
    }
}
