// SPDX-License-Identifier: GPL-2.0

//! Under which name a heap comes up.

use kernel::{
    prelude::*,
    str::CString, //
};

/// What the module parameter `pooled_names` asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NamePolicy {
    /// `-pooled` where the plain name is, or could be, the kernel's.
    Auto,
    /// Always the plain name.
    Plain,
    /// Always `-pooled`.
    Pooled,
}

impl NamePolicy {
    /// Reads the module parameter; [`None`] for a value that means nothing.
    pub(crate) fn from_parameter(value: i32) -> Option<Self> {
        match value {
            -1 => Some(Self::Auto),
            0 => Some(Self::Plain),
            1 => Some(Self::Pooled),
            _ => None,
        }
    }

    /// Makes the name of a heap whose plain name is `plain`.
    ///
    /// `plain_is_taken` says that the kernel has or could load a heap of the plain name, or that a
    /// node of that name exists.
    pub(super) fn name(self, plain: &CStr, plain_is_taken: bool) -> Result<CString> {
        let suffix = match self {
            Self::Auto => plain_is_taken,
            Self::Plain => false,
            Self::Pooled => true,
        };

        CString::try_from_fmt(fmt!(
            "{}{}",
            plain.to_str()?,
            if suffix { "-pooled" } else { "" }
        ))
    }
}

#[kunit_tests(rust_dma_heap_names)]
mod tests {
    use super::*;

    #[test]
    fn a_free_name_is_taken_as_it_is() -> Result {
        assert_eq!(&*NamePolicy::Auto.name(c"system", false)?, c"system");
        Ok(())
    }

    #[test]
    fn beside_the_kernels_heap_the_name_says_pooled() -> Result {
        assert_eq!(&*NamePolicy::Auto.name(c"system", true)?, c"system-pooled");
        Ok(())
    }

    #[test]
    fn the_parameter_forces_either() -> Result {
        assert_eq!(&*NamePolicy::Plain.name(c"system", true)?, c"system");
        assert_eq!(
            &*NamePolicy::Pooled.name(c"system", false)?,
            c"system-pooled"
        );
        Ok(())
    }

    #[test]
    fn other_parameter_values_are_refused() {
        assert_eq!(NamePolicy::from_parameter(-1), Some(NamePolicy::Auto));
        assert_eq!(NamePolicy::from_parameter(0), Some(NamePolicy::Plain));
        assert_eq!(NamePolicy::from_parameter(1), Some(NamePolicy::Pooled));
        assert_eq!(NamePolicy::from_parameter(2), None);
        assert_eq!(NamePolicy::from_parameter(i32::MIN), None);
    }
}
