#!/usr/bin/env bash
# Builds mediasoup's own worker from the sources in its npm package, for beside.mjs and `corecast-bench mediasoup`, where
# its prebuilt one cannot be fetched (npm i mediasoup does that). It is told apart from that one by its libraries, which
# are Debian's: OpenSSL, libuv, abseil (for its hash maps, too), FlatBuffers; and libsrtp 2.3 with OpenSSL, from the crate
# srtp2-sys, instead of a beta of 3.
#
#     tests/mediasoup/build_worker.sh DIR    # DIR/mediasoup-worker; some five minutes on two cores
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
package=$here/node_modules/mediasoup/worker
[ -d "$package/src" ] || { echo "$package is missing: tests/run setup installs it" >&2; exit 1; }
mkdir -p "${1:?the directory to build in}"
cd "$1"

packages=(g++ make libuv1-dev libssl-dev libflatbuffers-dev flatbuffers-compiler libabsl-dev)
dpkg-query -W "${packages[@]}" >/dev/null 2>&1 || apt-get install -y --no-install-recommends "${packages[@]}"

# libsrtp 2.
mkdir -p srtp/src && : >srtp/src/lib.rs
printf '[package]\nname = "srtp"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\nsrtp2-sys = "=3.0.2"\n[workspace]\n' >srtp/Cargo.toml
(cd srtp && cargo vendor --quiet >/dev/null)
srtp=$PWD/srtp/vendor/srtp2-sys/libsrtp
(cd "$srtp" && sh ./configure --enable-openssl CFLAGS=-O3 >/dev/null && make -s libsrtp2.a >/dev/null 2>&1)

# What the worker takes from libsrtp 3, said with libsrtp 2; and hash maps.
mkdir -p include/ankerl include/FBS objects
cat >include/srtp.h <<'HEADER'
#pragma once
#include <cstdint>
#include <cstring>
#define srtp_policy_t srtp2_policy
#include "libsrtp2.h"
#undef srtp_policy_t
#define srtp_err_status_buffer_small ((srtp_err_status_t)100)
#define srtp_err_status_cryptex_err ((srtp_err_status_t)101)
using Status = srtp_err_status_t;
struct Policy { srtp2_policy inner{}; uint8_t key[64]{}; };
using srtp_policy_t = Policy*;
inline Status srtp_policy_create(srtp_policy_t* made) {
  *made = new Policy();
  (*made)->inner.key = (*made)->key;
  return srtp_err_status_ok;
}
inline void srtp_policy_destroy(srtp_policy_t of) { delete of; }
inline Status srtp_policy_set_ssrc(srtp_policy_t of, srtp_ssrc_t ssrc) { of->inner.ssrc = ssrc; return srtp_err_status_ok; }
inline Status srtp_policy_set_profile(srtp_policy_t of, srtp_profile_t profile) {
  srtp_crypto_policy_set_from_profile_for_rtp(&of->inner.rtp, profile);
  return srtp_crypto_policy_set_from_profile_for_rtcp(&of->inner.rtcp, profile);
}
inline Status srtp_policy_add_key(
    srtp_policy_t of, const uint8_t* key, size_t length, const uint8_t* salt, size_t salt_length, const uint8_t*, size_t) {
  std::memcpy(of->key, key, length);
  std::memcpy(of->key + length, salt, salt_length);
  return srtp_err_status_ok;
}
inline Status srtp_policy_set_allow_repeat_tx(srtp_policy_t of, bool allow) { of->inner.allow_repeat_tx = allow; return srtp_err_status_ok; }
inline Status srtp_policy_set_window_size(srtp_policy_t of, size_t size) { of->inner.window_size = size; return srtp_err_status_ok; }
inline Status srtp_create(srtp_t* made, srtp_policy_t of) { return srtp_create(made, static_cast<const srtp2_policy*>(&of->inner)); }
inline Status srtp_stream_remove(srtp_t of, uint32_t ssrc) { return srtp_remove_stream(of, ssrc); }
template <class Call>
inline Status in_place(Call call, srtp_t session, const uint8_t* in, size_t length, uint8_t* out, size_t* out_length) {
  if (in != out) std::memcpy(out, in, length);
  int bytes = static_cast<int>(length);
  const Status status = call(session, out, &bytes);
  *out_length = static_cast<size_t>(bytes);
  return status;
}
using InPlace = Status (*)(srtp_t, void*, int*);
inline Status srtp_protect(srtp_t of, const uint8_t* in, size_t length, uint8_t* out, size_t* out_length, size_t) {
  return in_place(static_cast<InPlace>(srtp_protect), of, in, length, out, out_length);
}
inline Status srtp_unprotect(srtp_t of, const uint8_t* in, size_t length, uint8_t* out, size_t* out_length) {
  return in_place(static_cast<InPlace>(srtp_unprotect), of, in, length, out, out_length);
}
inline Status srtp_protect_rtcp(srtp_t of, const uint8_t* in, size_t length, uint8_t* out, size_t* out_length, size_t) {
  return in_place(static_cast<InPlace>(srtp_protect_rtcp), of, in, length, out, out_length);
}
inline Status srtp_unprotect_rtcp(srtp_t of, const uint8_t* in, size_t length, uint8_t* out, size_t* out_length) {
  return in_place(static_cast<InPlace>(srtp_unprotect_rtcp), of, in, length, out, out_length);
}
HEADER
cp "$srtp/include/srtp.h" include/libsrtp2.h
cat >include/ankerl/unordered_dense.h <<'HEADER'
#pragma once
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/hash/hash.h>
#include <iterator>
namespace ankerl::unordered_dense {
template <class K, class = void>
struct hash { uint64_t operator()(const K& key) const { return absl::Hash<K>{}(key); } };
// erase() tells the next one.
template <class B>
struct erasing : B {
  using B::B;
  using B::erase;
  typename B::iterator erase(typename B::iterator at) { auto next = std::next(at); B::erase(at); return next; }
};
template <class K, class V, class H = hash<K>, class E = std::equal_to<K>>
using map = erasing<absl::flat_hash_map<K, V, H, E>>;
template <class K, class H = hash<K>, class E = std::equal_to<K>>
using set = erasing<absl::flat_hash_set<K, H, E>>;
}
HEADER
flatc --cpp --cpp-field-case-style lower --reflect-names --scoped-enums --filename-suffix '' -o include/FBS "$package"/fbs/*.fbs

# Its sources are those that its build names.
sources() { sed -n "/$2/,/^\]/p" "$1" | grep -o "'[^']*\.\(cpp\|cc\)'" | tr -d "'"; }
flags="-std=c++20 -O3 -DNDEBUG -w -DMS_EXECUTABLE -DMS_LITTLE_ENDIAN -DFLATBUFFERS_LOCALE_INDEPENDENT=1 -I$PWD/include"
flags+=" -I$package/include -I$package/deps/libwebrtc -I$package/deps/libwebrtc/libwebrtc"
{
  printf 'all: mediasoup-worker\n'
  objects=()
  for source in src/main.cpp src/DepLibWebRTC.cpp src/RTC/TransportCongestionControl{Client,Server}.cpp \
    $(sources "$package/meson.build" 'common_sources = \[') \
    $(sources "$package/deps/libwebrtc/meson.build" 'libwebrtc_sources = \[' | sed 's|^|deps/libwebrtc/|'); do
    object=objects/${source//\//_}.o
    objects+=("$object")
    printf '%s: %s/%s\n\tg++ %s -c $< -o $@\n' "$object" "$package" "$source" "$flags"
  done
  printf 'mediasoup-worker: %s\n\tg++ -o $@ $^ %s/libsrtp2.a -luv -lssl -lcrypto -lflatbuffers %s -lpthread\n' "${objects[*]}" "$srtp" \
    "-labsl_raw_hash_set -labsl_hash -labsl_city -labsl_low_level_hash -labsl_strings -labsl_bad_optional_access \
-labsl_throw_delegate -labsl_raw_logging_internal -labsl_hashtablez_sampler"
} >Makefile
make -s -j"$(nproc)"
echo "$PWD/mediasoup-worker"
