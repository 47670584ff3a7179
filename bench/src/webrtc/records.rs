//! Records of application data (RFC 6347) for a loop without a runtime: the ciphers are those of the crate `dtls`. Its
//! own connection, a task for every association, would be most of what is measured.

use anyhow::{Context as _, ensure};
use dtls::cipher_suite::{CipherSuite, CipherSuiteId, cipher_suite_for_id};
use dtls::content::ContentType;
use dtls::record_layer::record_layer_header::{
    PROTOCOL_VERSION1_2, RECORD_LAYER_HEADER_SIZE as HEADER_BYTES, RecordLayerHeader,
};
use dtls::state::KeyLogData;

/// The one cipher suite with which this goes.
pub const SUITE: CipherSuiteId = CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256;
/// First byte of a record of application data (RFC 6347 section 4.1).
const APPLICATION_DATA: u8 = 23;
/// The epoch after the one handshake that there is.
const EPOCH: u16 = 1;
/// Our first record's number: above those of the handshake.
const FIRST_NUMBER: u64 = 1 << 16;

/// Both directions of an association.
pub struct Records {
    cipher: Box<dyn CipherSuite + Send + Sync>,
    next_number: u64,
    plain: Vec<u8>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("next_number", &self.next_number).finish_non_exhaustive()
    }
}

impl Records {
    /// Both directions of an association with these secrets.
    ///
    /// # Errors
    /// The crate makes no keys of them.
    pub fn new(secrets: &KeyLogData, client: bool) -> anyhow::Result<Self> {
        let KeyLogData { local_random, remote_random, master_secret } = secrets;
        let (clients, servers) = if client { (local_random, remote_random) } else { (remote_random, local_random) };
        let mut cipher = cipher_suite_for_id(SUITE)?;
        cipher.init(master_secret, clients, servers, client).context("keys of DTLS")?;
        Ok(Self { cipher, next_number: FIRST_NUMBER, plain: Vec::new() })
    }

    /// A record with this in it.
    ///
    /// # Errors
    /// It is too long for one.
    pub fn protect(&mut self, data: &[u8]) -> anyhow::Result<Vec<u8>> {
        let len = u16::try_from(data.len())?;
        let number = self.next_number;
        self.next_number += 1;
        self.plain.clear();
        self.plain.extend([APPLICATION_DATA, PROTOCOL_VERSION1_2.major, PROTOCOL_VERSION1_2.minor]);
        self.plain.extend(EPOCH.to_be_bytes());
        self.plain.extend(&number.to_be_bytes()[2..]);
        self.plain.extend(len.to_be_bytes());
        self.plain.extend(data);
        let header = RecordLayerHeader {
            content_type: ContentType::ApplicationData,
            protocol_version: PROTOCOL_VERSION1_2,
            epoch: EPOCH,
            sequence_number: number,
            content_len: len,
        };
        Ok(self.cipher.encrypt(&header, &self.plain)?)
    }

    /// Whether a datagram is a record of application data.
    #[must_use]
    pub fn are_in(datagram: &[u8]) -> bool {
        datagram.first() == Some(&APPLICATION_DATA)
    }

    /// What is in a record.
    ///
    /// # Errors
    /// It is not whole, or not the other side's.
    pub fn open(&self, record: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut plain = self.cipher.decrypt(record).context("a record of DTLS does not open")?;
        ensure!(plain.len() >= HEADER_BYTES, "a record without a header");
        Ok(plain.split_off(HEADER_BYTES))
    }
}
