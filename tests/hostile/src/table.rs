//! AMQP's header tables as bytes. Unlike a client library it takes names that are no text, names that stand there twice,
//! and lists and tables in each other without end.

/// A value in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Void,
    /// A truth value.
    Boolean(bool),
    /// A number of 64 bits.
    Long(i64),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// Seconds since 1970.
    Time(u64),
    /// Values in a row.
    List(Vec<Self>),
    /// A table in a table.
    Table(Table),
    /// So many lists in each other.
    Nested(usize),
}

/// Names and values, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(pub Vec<(Vec<u8>, Value)>);

impl Value {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Void => to.push(b'V'),
            Self::Boolean(value) => to.extend([b't', u8::from(*value)]),
            Self::Long(number) => {
                to.push(b'l');
                to.extend(number.to_be_bytes());
            }
            Self::Bytes(bytes) => {
                to.push(b'S');
                long(bytes, to);
            }
            Self::Time(seconds) => {
                to.push(b'T');
                to.extend(seconds.to_be_bytes());
            }
            Self::List(values) => {
                let mut bytes = Vec::new();
                for value in values {
                    value.write(&mut bytes);
                }
                to.push(b'A');
                long(&bytes, to);
            }
            Self::Table(table) => {
                to.push(b'F');
                to.extend(table.bytes());
            }
            // Without recursion: the writer must not fall into its own trap. A list costs its type and its length.
            Self::Nested(depth) => {
                for inner in (0..*depth).rev() {
                    to.push(b'A');
                    to.extend(size(inner * 5).to_be_bytes());
                }
            }
        }
    }
}

impl Table {
    /// A table of these.
    pub fn of<const N: usize>(entries: [(&str, Value); N]) -> Self {
        Self(entries.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value)).collect())
    }

    /// With one more, even if the name stands there already.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.0.push((name.as_bytes().to_vec(), value));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        for (name, value) in &self.0 {
            short(name, &mut entries);
            value.write(&mut entries);
        }
        let mut bytes = Vec::with_capacity(entries.len() + 4);
        long(&entries, &mut bytes);
        bytes
    }
}

/// Bytes with their number in one byte before them; what does not fit is cut off.
pub(crate) fn short(bytes: &[u8], to: &mut Vec<u8>) {
    let fitting = bytes.get(..bytes.len().min(255)).unwrap_or_default();
    to.push(u8::try_from(fitting.len()).unwrap_or(u8::MAX));
    to.extend(fitting);
}

/// Bytes with their number in four bytes before them.
pub(crate) fn long(bytes: &[u8], to: &mut Vec<u8>) {
    to.extend(size(bytes.len()).to_be_bytes());
    to.extend(bytes);
}

pub(crate) fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_lists_are_written_as_if_they_stood_in_each_other() {
        let inner = Value::List(vec![Value::List(vec![Value::List(Vec::new())])]);
        let (mut slow, mut quick) = (Vec::new(), Vec::new());
        inner.write(&mut slow);
        Value::Nested(3).write(&mut quick);
        assert_eq!(slow, quick);
    }
}
