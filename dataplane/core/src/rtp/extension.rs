//! Header extensions: the block of RFC 3550 section 5.3.1 and the elements of RFC 8285 in it, one-byte and two-byte
//! form.
//!
//! A *block* is four bytes of head (profile, length in words) and the words themselves. Which identifier means what was
//! negotiated; that is not known here.

use super::MalformedRtp;

/// Bytes before the elements: profile and length.
pub const EXTENSION_HEAD_BYTES: usize = 4;
/// Profile of the one-byte form (RFC 8285 section 4.2).
const ONE_BYTE_PROFILE: u16 = 0xbede;
/// Profile of the two-byte form with zero "appbits" (RFC 8285 section 4.3).
const TWO_BYTE_PROFILE: u16 = 0x1000;
/// The appbits: any value means the two-byte form, and we know none.
const APPBITS: u16 = 0x000f;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    OneByte,
    TwoByte,
}

impl Form {
    fn of_profile(profile: u16) -> Option<Self> {
        match profile {
            ONE_BYTE_PROFILE => Some(Self::OneByte),
            _ if profile & !APPBITS == TWO_BYTE_PROFILE => Some(Self::TwoByte),
            _ => None,
        }
    }

    fn profile(self) -> u16 {
        match self {
            Self::OneByte => ONE_BYTE_PROFILE,
            Self::TwoByte => TWO_BYTE_PROFILE,
        }
    }
}

/// Splits what follows the CSRCs of a packet with the X bit into extension block (head included) and body.
pub(super) fn split_block(rest: &[u8]) -> Result<(&[u8], &[u8]), MalformedRtp> {
    let [_, _, high, low, ..] = *rest else {
        return Err(MalformedRtp::Extension);
    };
    // At most 4 + 4 * 65,535: no overflow in usize, which a 16-bit sum would have.
    let len = EXTENSION_HEAD_BYTES + 4 * usize::from(u16::from_be_bytes([high, low]));
    let (block, body) = rest.split_at_checked(len).ok_or(MalformedRtp::Extension)?;
    let mut elements = Extensions::of_block(block);
    while elements.step()?.is_some() {}
    Ok((block, body))
}

/// The elements of a header extension, in order: identifier and data. Padding is passed over.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// The elements of a block that begins with its head; none if it is empty or of an unknown profile.
    #[must_use]
    pub fn of_block(block: &'a [u8]) -> Self {
        if let Some((&[p0, p1, _, _], rest)) = block.split_first_chunk::<EXTENSION_HEAD_BYTES>()
            && let Some(form) = Form::of_profile(u16::from_be_bytes([p0, p1]))
        {
            return Self { form, rest };
        }
        Self { form: Form::OneByte, rest: &[] }
    }

    /// Elements of the one-byte form, without a head.
    #[must_use]
    pub(crate) const fn of_elements(elements: &'a [u8]) -> Self {
        Self { form: Form::OneByte, rest: elements }
    }

    /// The next element, or none at the end, or an error where an element runs past the block.
    fn step(&mut self) -> Result<Option<(u8, &'a [u8])>, MalformedRtp> {
        // Zero bytes between elements are padding in both forms (RFC 8285 sections 4.2 and 4.3).
        while let [0, rest @ ..] = self.rest {
            self.rest = rest;
        }
        let (id, len, rest) = match (self.form, self.rest) {
            (_, []) => return Ok(None),
            // Identifier 15, and 0 with a length, end the extension; what came before counts (RFC 8285 sections 4.1.2,
            // 4.2).
            (Form::OneByte, [0x01..=0x0f | 0xf0..=0xff, ..]) => {
                self.rest = &[];
                return Ok(None);
            }
            (Form::OneByte, [head, rest @ ..]) => (head >> 4, usize::from(head & 0x0f) + 1, rest),
            (Form::TwoByte, [id, len, rest @ ..]) => (*id, usize::from(*len), rest),
            (Form::TwoByte, [_]) => return Err(MalformedRtp::Extension),
        };
        let (data, rest) = rest.split_at_checked(len).ok_or(MalformedRtp::Extension)?;
        self.rest = rest;
        Ok(Some((id, data)))
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // A parsed packet has no malformed element; a block from elsewhere ends at its first one.
        self.step().unwrap_or_default()
    }
}

/// Writes a complete extension block of `elements` (identifier and data) and says how long it is: a multiple of four,
/// 0 if there is nothing to write.
///
/// One-byte form if every element allows it (identifier 1 to 14, 1 to 16 bytes), else two-byte form, which a receiver
/// must have agreed to (RFC 8285 section 4.1.2). Elements that no form can carry (identifier 0, more than 255 bytes)
/// are left out, and so are those for which `out` has no room.
pub fn write_extension_block<'a>(out: &mut [u8], elements: impl Iterator<Item = (u8, &'a [u8])> + Clone) -> usize {
    let elements = lawful(elements);
    write_block(out, if fits_one_byte(elements.clone()) { Form::OneByte } else { Form::TwoByte }, elements)
}

/// How long a block [`write_extension_block`] makes of `elements`, given room.
pub fn extension_block_len<'a>(elements: impl Iterator<Item = (u8, &'a [u8])> + Clone) -> usize {
    let elements = lawful(elements);
    let overhead = if fits_one_byte(elements.clone()) { 1 } else { 2 };
    match elements.map(|(_, data)| overhead + data.len()).sum::<usize>() {
        0 => 0,
        len => EXTENSION_HEAD_BYTES + len.next_multiple_of(4),
    }
}

/// The elements that some form can carry.
fn lawful<'a>(elements: impl Iterator<Item = (u8, &'a [u8])> + Clone) -> impl Iterator<Item = (u8, &'a [u8])> + Clone {
    elements.filter(|&(id, data)| id != 0 && data.len() <= 255)
}

/// Whether the one-byte form can carry every element.
fn fits_one_byte<'a>(mut elements: impl Iterator<Item = (u8, &'a [u8])>) -> bool {
    elements.all(|(id, data)| id <= 14 && (1..=16).contains(&data.len()))
}

fn write_block<'a>(out: &mut [u8], form: Form, elements: impl Iterator<Item = (u8, &'a [u8])>) -> usize {
    // Whole words only, so that the padding always has room, and no more of them than the length field can count.
    let room = (out.len() & !3).min(EXTENSION_HEAD_BYTES + 4 * usize::from(u16::MAX));
    let Some((head, body)) = out.get_mut(..room).and_then(|out| out.split_first_chunk_mut::<EXTENSION_HEAD_BYTES>())
    else {
        return 0;
    };
    let mut used = 0;
    for (id, data) in elements {
        used += write_element(body.get_mut(used..).unwrap_or_default(), form, id, data).unwrap_or(0);
    }
    if used == 0 {
        return 0;
    }
    let padded = used.next_multiple_of(4);
    if let Some(padding) = body.get_mut(used..padded) {
        padding.fill(0);
    }
    let [p0, p1] = form.profile().to_be_bytes();
    let [l0, l1] = ((padded / 4) as u16).to_be_bytes();
    *head = [p0, p1, l0, l1];
    EXTENSION_HEAD_BYTES + padded
}

/// Writes one element and says how many bytes it took; none if it does not fit the form or the room.
fn write_element(out: &mut [u8], form: Form, id: u8, data: &[u8]) -> Option<usize> {
    let data_at = match form {
        Form::OneByte if (1..=14).contains(&id) && (1..=16).contains(&data.len()) => {
            out.get(..1 + data.len())?;
            *out.first_mut()? = id << 4 | (data.len() - 1) as u8;
            1
        }
        Form::TwoByte if id != 0 && data.len() <= 255 => {
            out.get(..2 + data.len())?;
            *out.first_chunk_mut()? = [id, data.len() as u8];
            2
        }
        _ => return None,
    };
    out.get_mut(data_at..data_at + data.len())?.copy_from_slice(data);
    Some(data_at + data.len())
}
