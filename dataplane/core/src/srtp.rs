//! srtp: to come.
