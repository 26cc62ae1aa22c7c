//! What the portal tells about the sign-in, as it stands in a request.

use fleet_domain::{Context, Field};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::form::{ClientIp, FieldName, Form, Label, Text};
use crate::invalid::Fault;
use crate::object::{self, Object};

const MAX_FIELDS: usize = 20;
type Application = Label<0, 64>;
type Place = Label<0, 128>;
type FieldValue = Label<0, 128>;

/// What the portal tells about the sign-in; the app shows it to the person.
#[derive(Serialize, JsonSchema)]
#[serde(remote = "Context", deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct ContextForm {
    /// The application that is signed in to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Application>")]
    application: Option<String>,
    /// The address from which the person signs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<ClientIp>")]
    client_ip: Option<String>,
    /// Where that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Place>")]
    place: Option<String>,
    /// The portal's own fields, shown in the order in which they are sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "as_object")]
    #[schemars(schema_with = "fields_schema")]
    fields: Vec<Field>,
}

fn as_object<S: Serializer>(fields: &[Field], s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(fields.iter().map(|field| (&field.name, &field.value)))
}

fn fields_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_FIELDS,
        "propertyNames": FieldName::schema(),
        "additionalProperties": FieldValue::schema(),
    })
}

/// Reads the object that stands at `path`.
pub(crate) fn read(raw: &RawValue, path: &str) -> Result<Context, Fault> {
    let object = Object::read(raw.get(), path)?.only(&["application", "client_ip", "place", "fields"])?;
    Ok(Context {
        application: object.optional::<Application>("application")?.map(|text| text.0),
        client_ip: object.optional::<ClientIp>("client_ip")?.map(|text| text.0),
        place: object.optional::<Place>("place")?.map(|text| text.0),
        fields: match object.get("fields") {
            None => Vec::new(),
            Some(raw) => read_fields(raw, &object.path_of("fields"))?,
        },
    })
}

/// Own fields are named by their position in what is told of them, since their names are the portal's.
fn read_fields(raw: &RawValue, path: &str) -> Result<Vec<Field>, Fault> {
    let pairs = Object::read(raw.get(), path)?.into_pairs();
    if pairs.len() > MAX_FIELDS {
        return Err(Fault::new(path, format!("must have at most {MAX_FIELDS} fields")));
    }
    let read = |(at, (name, raw)): (usize, (String, &RawValue))| {
        let path = || format!("{path}[{at}]");
        let name = FieldName::parse(&name).ok_or_else(|| Fault::new(path(), FieldName::rule()))?;
        let value: FieldValue = object::read_text(raw, path)?;
        Ok(Field { name: name.0, value: value.0 })
    };
    pairs.into_iter().enumerate().map(read).collect()
}
