//! RTP against the crate `rtp`: what we write it reads as we meant it, and what it writes we read as it meant it. It
//! takes no part in the server (see `listed_crates.rs` for why), so the two share no code.

use corecast_core::rtp::{Header, RtpView, padding_len, write_extension_block, write_header};
use webrtc_util::marshal::{Marshal, Unmarshal};

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Up to five elements with different identifiers that one form can carry.
fn elements(numbers: &mut Numbers, two_byte: bool) -> Vec<(u8, Vec<u8>)> {
    let mut elements = vec![];
    for n in 0..numbers.below(6) as u8 {
        let (id, len) = if two_byte { (n * 50 + 1, numbers.below(40)) } else { (n * 2 + 1, 1 + numbers.below(16)) };
        elements.push((id, numbers.bytes(len)));
    }
    elements
}

#[test]
fn what_we_write_the_crate_reads() {
    let mut numbers = Numbers(1);
    for round in 0..5_000 {
        let elements = elements(&mut numbers, round % 2 == 0);
        let mut block = [0; 512];
        let block_len = write_extension_block(&mut block, elements.iter().map(|(id, data)| (*id, &data[..])));
        let csrc_count = numbers.below(16);
        let csrcs = numbers.bytes(4 * csrc_count);
        let header = Header {
            payload_type: numbers.next() as u8 & 0x7f,
            marker: round % 3 == 0,
            padding: round % 5 == 0,
            sequence: numbers.next() as u16,
            timestamp: numbers.next() as u32,
            ssrc: numbers.next() as u32,
        };
        let mut packet = [0; 1024];
        let len = write_header(&mut packet, &header, &csrcs, &block[..block_len]).unwrap();
        let mut body = numbers.bytes(40);
        body.extend([0, 0, 3]);
        packet[len..len + 43].copy_from_slice(&body);

        let theirs = rtp::packet::Packet::unmarshal(&mut &packet[..len + 43]).unwrap();
        let read = &theirs.header;
        assert_eq!((read.version, read.payload_type, read.marker), (2, header.payload_type, header.marker));
        assert_eq!((read.padding, read.sequence_number), (header.padding, header.sequence));
        assert_eq!((read.timestamp, read.ssrc), (header.timestamp, header.ssrc));
        assert_eq!(read.csrc.iter().flat_map(|csrc| csrc.to_be_bytes()).collect::<Vec<_>>(), csrcs);
        let read: Vec<_> = read.extensions.iter().map(|element| (element.id, element.payload.to_vec())).collect();
        assert_eq!(read, elements);
        assert_eq!(theirs.payload.len(), if header.padding { 40 } else { 43 });
        assert_eq!(theirs.payload[..], body[..theirs.payload.len()]);
    }
}

#[test]
fn what_the_crate_writes_we_read() {
    let mut numbers = Numbers(2);
    for round in 0..5_000 {
        let elements = elements(&mut numbers, round % 2 == 0);
        let body_len = numbers.below(60);
        let mut theirs = rtp::packet::Packet {
            header: rtp::header::Header {
                version: 2,
                padding: round % 3 == 0,
                marker: round % 5 == 0,
                payload_type: numbers.next() as u8 & 0x7f,
                sequence_number: numbers.next() as u16,
                timestamp: numbers.next() as u32,
                ssrc: numbers.next() as u32,
                csrc: (0..numbers.below(16)).map(|_| numbers.next() as u32).collect(),
                extension: !elements.is_empty(),
                extension_profile: if round % 2 == 0 { 0x1000 } else { 0xbede },
                ..Default::default()
            },
            payload: numbers.bytes(body_len).into(),
        };
        for (id, data) in &elements {
            theirs.header.set_extension(*id, data.clone().into()).unwrap();
        }
        let packet = theirs.marshal().unwrap();

        let view = RtpView::parse(&packet).unwrap();
        let header = &theirs.header;
        assert_eq!((view.has_padding(), view.marker()), (header.padding, header.marker));
        assert_eq!((view.payload_type(), view.sequence()), (header.payload_type, header.sequence_number));
        assert_eq!((view.timestamp(), view.ssrc()), (header.timestamp, header.ssrc));
        let csrcs: Vec<_> = header.csrc.iter().flat_map(|csrc| csrc.to_be_bytes()).collect();
        assert_eq!(view.csrcs(), csrcs);
        let read: Vec<_> = view.extensions().map(|(id, data)| (id, data.to_vec())).collect();
        assert_eq!(read, elements);
        let padding = if view.has_padding() { padding_len(view.body()).unwrap() } else { 0 };
        assert_eq!(view.body()[..view.body().len() - padding], theirs.payload);
    }
}

/// Damaged packets: wherever we find a packet, the crate finds the same one, without a panic.
#[test]
fn what_we_take_of_damaged_packets_the_crate_takes_too() {
    let mut numbers = Numbers(3);
    let mut taken = 0;
    for round in 0..50_000 {
        let mut packet = vec![0x90 | numbers.next() as u8 & 0x03];
        packet.extend(numbers.bytes(11));
        let csrc_count = usize::from(packet[0] & 0x0f);
        packet.extend(numbers.bytes(4 * csrc_count));
        packet.extend(if round % 2 == 0 { [0xbe, 0xde, 0, 3] } else { [0x10, 0, 0, 3] });
        // Small numbers: as identifiers and lengths they often make sense. None begins with identifier 0 and a length,
        // which ends the extension for us (RFC 8285 section 4.1.2) and is an element to the crate.
        packet.extend((0..12).map(|_| [0x10, 0x21, 0x30, 0x12, 0, 0][numbers.below(6)]));
        let tail_len = numbers.below(8);
        packet.extend(numbers.bytes(tail_len));
        let kept = packet.len() - numbers.below(4);
        let Ok(view) = RtpView::parse(&packet[..kept]) else { continue };
        let mut rest = &packet[..kept];
        let theirs = rtp::header::Header::unmarshal(&mut rest).unwrap();
        taken += 1;
        let read: Vec<_> = theirs.extensions.iter().map(|element| (element.id, element.payload.to_vec())).collect();
        assert_eq!(view.extensions().map(|(id, data)| (id, data.to_vec())).collect::<Vec<_>>(), read);
        assert_eq!((view.body(), view.sequence(), view.ssrc()), (rest, theirs.sequence_number, theirs.ssrc));
    }
    assert!(taken > 5_000, "only {taken} packets were worth comparing");
}
