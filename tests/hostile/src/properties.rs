//! A message with properties of any bytes.

use crate::table::{Table, short};

/// A message as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Under which routing key.
    pub routing_key: String,
    /// Its properties.
    pub properties: Properties,
    /// Its body.
    pub body: Vec<u8>,
}

/// AMQP's properties; those that are `None` are not sent. Texts are any bytes, up to 255.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// The type of the body.
    pub content_type: Option<Vec<u8>>,
    /// The headers.
    pub headers: Option<Table>,
    /// Where an answer is wanted.
    pub reply_to: Option<Vec<u8>>,
    /// Milliseconds after which RabbitMQ drops the message.
    pub expiration: Option<Vec<u8>>,
    /// The message's id.
    pub message_id: Option<Vec<u8>>,
    /// The user; RabbitMQ refuses any other than the connection's.
    pub user_id: Option<Vec<u8>>,
}

impl Properties {
    /// The flags and the values, as they stand in a content header.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let headers = self.headers.as_ref().map(Table::bytes);
        let text = |text: &Option<Vec<u8>>| {
            text.as_ref().map(|text| {
                let mut bytes = Vec::new();
                short(text, &mut bytes);
                bytes
            })
        };
        let fields = [
            (15, text(&self.content_type)),
            (13, headers),
            // Persistent, as everything that the fleet works on.
            (12, Some(vec![2])),
            (9, text(&self.reply_to)),
            (8, text(&self.expiration)),
            (7, text(&self.message_id)),
            (4, text(&self.user_id)),
        ];
        let present = fields.into_iter().filter_map(|(bit, bytes)| Some((bit, bytes?)));
        let (mut flags, mut values) = (0_u16, Vec::new());
        for (bit, bytes) in present {
            flags |= 1 << bit;
            values.extend(bytes);
        }
        let mut all = flags.to_be_bytes().to_vec();
        all.extend(values);
        all
    }
}
