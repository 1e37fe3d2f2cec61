//! Messages from bytes and to bytes.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

/// How many fields a message may have, those of the messages in it not counted. A field of two bytes can become a struct
/// of a hundred, so that without this limit a message needs fifty times its own size.
const MAX_FIELDS: usize = 1 << 14;

/// Smaller than the default of tonic: a message of a few tensors fits, and larger ones make room for themselves.
const BUFFERS: (usize, usize) = (1 << 10, 32 << 10);

/// Protobuf whose messages are counted before they are taken apart, and whose faults are the sender's.
pub(super) struct BoundedCodec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for BoundedCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E, D> Codec for BoundedCodec<E, D>
where
    E: Message + 'static,
    D: Message + Default + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = BoundedDecoder<D>;

    fn encoder(&mut self) -> ProstEncoder<E> {
        ProstEncoder::new(BufferSettings::new(BUFFERS.0, BUFFERS.1))
    }

    fn decoder(&mut self) -> BoundedDecoder<D> {
        BoundedDecoder(PhantomData)
    }
}

pub(super) struct BoundedDecoder<D>(PhantomData<D>);

impl<D: Message + Default> Decoder for BoundedDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let malformed = |cause| Status::invalid_argument(format!("the message is malformed: {cause}"));
        // One chunk is the whole message: the buffer behind it is contiguous.
        if count_fields(buffer.chunk()).map_err(malformed)? > MAX_FIELDS {
            let message = format!("the message has more than {MAX_FIELDS} fields");
            return Err(Status::invalid_argument(message));
        }
        D::decode(buffer).map(Some).map_err(malformed)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFERS.0, BUFFERS.1)
    }
}

/// Counts until there are too many.
fn count_fields(mut message: &[u8]) -> Result<usize, prost::DecodeError> {
    let mut fields = 0;
    while message.has_remaining() && fields <= MAX_FIELDS {
        let (tag, wire_type): (u32, WireType) = decode_key(&mut message)?;
        skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
        fields += 1;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::grpc::protocol::{ModelInferRequest, model_infer_request::InferInputTensor};

    #[test]
    fn only_the_fields_of_the_message_itself_count() {
        let tensor = InferInputTensor { shape: vec![7; 50_000], ..InferInputTensor::default() };
        let message = ModelInferRequest {
            model_name: "m".to_owned(),
            inputs: vec![tensor; 3],
            raw_input_contents: vec![vec![0_u8; 1 << 20].into(); 3],
            ..ModelInferRequest::default()
        };
        assert_eq!(count_fields(&message.encode_to_vec()).unwrap(), 7);
        assert_eq!(count_fields(b"").unwrap(), 0);
    }

    #[test]
    fn counting_ends_where_there_are_too_many() {
        let inputs = vec![InferInputTensor::default(); MAX_FIELDS + 100];
        let message = ModelInferRequest { inputs, ..ModelInferRequest::default() };
        assert_eq!(count_fields(&message.encode_to_vec()).unwrap(), MAX_FIELDS + 1);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_what_counts_wrongly_does_not_decode(bytes: Vec<u8>) {
            let counted = count_fields(&bytes);
            let decoded = ModelInferRequest::decode(&bytes[..]);
            prop_assert!(counted.is_ok() || decoded.is_err());
        }
    }
}
