//! Key frames by the dependency descriptor, where the payload shows none.

use corecast_core::rtp::RtpView;
use corecast_wire::{
    Codec, CodecMapping, ConsumeOptions, ConsumerExtension, ExtensionMapping, HeaderExtension, PayloadTypeMapping,
    ProduceOptions,
};

use crate::bed::{Bed, packet, path, receiver, remote, video};

const DESCRIPTOR: u8 = 9;
/// One template without dependencies, and a frame of it.
const KEY: [u8; 7] = [0xc0, 0x00, 0x01, 0x80, 0x00, 0xe4, 0x00];
const DELTA: [u8; 3] = [0xc0, 0x00, 0x02];
/// By its first byte, a new coded video sequence of AV1: encrypted, any byte will come.
const LIKE_A_KEY_FRAME: [u8; 4] = [0x08, 0x01, 0x02, 0x03];
const LIKE_NOTHING: [u8; 4] = [0xff, 0xfe, 0xfd, 0xfc];

fn bed(descriptor_known: bool) -> Bed {
    let mut bed = Bed::new();
    bed.transport(0, false, false);
    bed.transport(1, false, false);
    let extension = HeaderExtension::DependencyDescriptor;
    let options = ProduceOptions {
        codecs: vec![CodecMapping {
            payload_type: 96,
            mapped_payload_type: 101,
            codec: Codec::Av1,
            clock_rate_hz: 90_000,
        }],
        header_extensions: vec![ExtensionMapping { extension, id: DESCRIPTOR, mapped_id: 7 }],
        ..video()
    };
    bed.produce_as(0, 1, options).expect("new");
    let known = ConsumerExtension::same(extension, 7);
    let options = ConsumeOptions {
        payload_types: vec![PayloadTypeMapping::same(101)],
        header_extensions: if descriptor_known { vec![known] } else { vec![] },
        ..receiver(21)
    };
    bed.consume_as(1, 1, options).expect("new");
    bed.sent();
    bed
}

/// Descriptors of what is forwarded.
fn forwarded(bed: &mut Bed) -> Vec<Option<Vec<u8>>> {
    let sent = bed.sent();
    let media = sent.iter().filter(|(to, _)| *to == remote(1));
    media.map(|(_, bytes)| RtpView::parse(bytes).expect("lawful").extension(7).map(<[u8]>::to_vec)).collect()
}

#[test]
fn an_encrypted_payload_is_not_asked() {
    let mut bed = bed(true);
    bed.arrive(path(0), &packet(1_111, 96, 1, &[(DESCRIPTOR, &DELTA)], &LIKE_A_KEY_FRAME));
    assert_eq!(forwarded(&mut bed), []);
    bed.arrive(path(0), &packet(1_111, 96, 2, &[(DESCRIPTOR, &KEY)], &LIKE_NOTHING));
    bed.arrive(path(0), &packet(1_111, 96, 3, &[(DESCRIPTOR, &DELTA)], &LIKE_NOTHING));
    assert_eq!(forwarded(&mut bed), [Some(KEY.to_vec()), Some(DELTA.to_vec())]);
}

#[test]
fn without_a_lawful_descriptor_the_payload_tells() {
    for extensions in [&[][..], &[(DESCRIPTOR, &[0xc0, 0x00][..])]] {
        let mut bed = bed(false);
        bed.arrive(path(0), &packet(1_111, 96, 1, extensions, &LIKE_NOTHING));
        assert_eq!(forwarded(&mut bed), []);
        bed.arrive(path(0), &packet(1_111, 96, 2, extensions, &LIKE_A_KEY_FRAME));
        assert_eq!(forwarded(&mut bed), [None]);
    }
}

#[test]
fn a_long_descriptor_arrives_whole_where_it_is_known() {
    let long = [&KEY[..], &[0; 60]].concat();
    for known in [true, false] {
        let mut bed = bed(known);
        bed.arrive(path(0), &packet(1_111, 96, 1, &[(DESCRIPTOR, &long)], &LIKE_NOTHING));
        assert_eq!(forwarded(&mut bed), [known.then(|| long.clone())]);
    }
}
