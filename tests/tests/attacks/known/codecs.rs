//! Payload descriptors, sealed: none makes the machine fail, and none that is cut off passes for a key frame.

use corecast_wire::{Codec, Discard};

use super::{Case, DESCRIPTOR, Expect, Packet, case, play, ssrc_of};
use crate::pair::MEDIA;

use Expect::{NoKeyFrame, Refused};

const STR0M: &str = "str0m 0.2x changelog: overflows in VP8, H265 and AV1";
const LIST: &str = "descriptors that are cut off, as fuzzed by mediasoup and str0m";

fn of(codec: Codec, payload: &[u8]) -> Packet {
    Packet::Rtp(0x80, ssrc_of(codec), MEDIA, Vec::new(), payload.to_vec())
}

/// AV1 whose dependency descriptor is this.
fn described(descriptor: &[u8]) -> Packet {
    let mut block = vec![DESCRIPTOR, u8::try_from(descriptor.len()).expect("short")];
    block.extend(descriptor);
    block.resize(block.len().next_multiple_of(4), 0);
    let words = u8::try_from(block.len() / 4).expect("short");
    let rest = [&[0x10, 0, 0, words][..], &block].concat();
    Packet::Rtp(0x90, ssrc_of(Codec::Av1), MEDIA, rest, vec![0x10, 0x30, 0])
}

pub(super) fn cases() -> Vec<Case> {
    use Codec::{Av1, H264, H265, Vp8, Vp9};
    let bad = |name, from, codec, payload: &[u8]| case(name, from, of(codec, payload), NoKeyFrame);
    let empty = |name, from, codec| case(name, from, of(codec, &[]), Refused(Discard::PaddingOnly));
    vec![
        empty("f5_vp8_of_no_bytes", STR0M, Vp8),
        bad("f5_vp8_descriptor_alone", STR0M, Vp8, &[0x10]),
        bad("f5_vp8_extension_byte_is_missing", STR0M, Vp8, &[0x90]),
        bad("f5_vp8_picture_id_is_missing", STR0M, Vp8, &[0x90, 0x80]),
        bad("f5_vp8_picture_id_is_cut_off", STR0M, Vp8, &[0x90, 0x80, 0x80]),
        bad("f5_vp8_all_fields_and_no_frame", STR0M, Vp8, &[0x90, 0xF0, 0xFF, 0xFF, 0xFF, 0xFF]),
        empty("f5_vp9_of_no_bytes", LIST, Vp9),
        bad("f5_vp9_picture_id_is_cut_off", LIST, Vp9, &[0x88, 0x80]),
        bad("f5_vp9_layers_are_cut_off", LIST, Vp9, &[0xA8, 0x11, 0x00]),
        bad("f5_vp9_references_never_end", LIST, Vp9, &[0xFC, 0x91, 0x22, 0xFF, 0xFF, 0xFF, 0xFF]),
        bad("f5_vp9_scalability_structure_is_cut_off", LIST, Vp9, &[0xEA, 0x91, 0x22, 0xFF]),
        empty("f5_h264_of_no_bytes", LIST, H264),
        bad("f5_h264_unit_runs_past_its_aggregation", LIST, H264, &[0x78, 0xFF, 0xFF, 0x67]),
        bad("f5_h264_aggregation_of_empty_units", LIST, H264, &[0x78, 0, 0, 0, 0, 0, 0]),
        bad("f5_h264_aggregation_length_is_cut_off", LIST, H264, &[0x78, 0]),
        bad("f5_h264_fragment_without_its_header", LIST, H264, &[0x7C]),
        bad("f5_h265_of_one_byte", STR0M, H265, &[0x40]),
        bad("f5_h265_unit_runs_past_its_aggregation", STR0M, H265, &[0x60, 1, 0xFF, 0xFF, 0x40, 1]),
        bad("f5_h265_aggregated_unit_of_one_byte", STR0M, H265, &[0x60, 1, 0, 1, 0x40]),
        bad("f5_h265_fragment_without_its_header", STR0M, H265, &[0x62, 1]),
        empty("f5_av1_of_no_bytes", STR0M, Av1),
        bad("f5_av1_aggregation_header_alone", STR0M, Av1, &[0x08]),
        bad("f5_av1_element_runs_past_the_packet", STR0M, Av1, &[0x00, 0x7F, 0x08]),
        bad("f5_av1_length_never_ends", STR0M, Av1, &[0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        bad("f5_av1_length_overflows", STR0M, Av1, &[0x00, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7F]),
        bad("f5_av1_empty_elements", STR0M, Av1, &[0x00, 0, 0, 0]),
        case("f5_dependency_descriptor_of_one_byte", LIST, described(&[0x80]), NoKeyFrame),
        case("f5_dependency_descriptor_structure_is_cut_off", LIST, described(&[0x80, 0, 1, 0x80]), NoKeyFrame),
        case(
            "f5_dependency_descriptor_templates_never_end",
            LIST,
            described(&[&[0x80, 0, 1, 0x80, 0][..], &[0; 60]].concat()),
            NoKeyFrame,
        ),
        case("f5_dependency_descriptor_of_ones", LIST, described(&[0xFF; 200]), NoKeyFrame),
    ]
}

#[test]
fn f5_codecs() {
    play(&cases());
}
