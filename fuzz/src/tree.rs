//! A protobuf message as a tree, changed here and there, and written with lengths that are right again: most changes of
//! bytes only break a file, these lead deeper.

/// Numbers that look random. (SplitMix64)
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub number: u64,
    pub value: Value,
}

const DEPTH: usize = 40;

/// The fields of a message; `None` when it is none.
pub fn parse(content: &[u8]) -> Option<Vec<Field>> {
    parse_within(content, DEPTH)
}

fn parse_within(mut content: &[u8], depth: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !content.is_empty() {
        let (key, rest) = varint(content)?;
        let number = key >> 3;
        if !(1..=40).contains(&number) {
            return None;
        }
        let (value, rest) = match key & 7 {
            0 => varint(rest).map(|(number, rest)| (Value::Varint(number), rest))?,
            1 => rest.split_first_chunk().map(|(bytes, rest)| (Value::Fixed64(*bytes), rest))?,
            5 => rest.split_first_chunk().map(|(bytes, rest)| (Value::Fixed32(*bytes), rest))?,
            2 => {
                let (length, rest) = varint(rest)?;
                let (inside, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                // What can be read as a message is taken for one.
                let message =
                    if depth > 0 && inside.len() > 1 { parse_within(inside, depth - 1) } else { None };
                (message.map_or_else(|| Value::Bytes(inside.to_vec()), Value::Message), rest)
            }
            _ => return None,
        };
        fields.push(Field { number, value });
        content = rest;
    }
    Some(fields)
}

fn varint(content: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (index, &byte) in content.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index as u32).min(63);
        if byte < 0x80 {
            return Some((number, &content[index + 1..]));
        }
    }
    None
}

/// The message as it is written.
pub fn encode(fields: &[Field]) -> Vec<u8> {
    fn put(out: &mut Vec<u8>, mut number: u64) {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
    let mut out = Vec::new();
    for Field { number, value } in fields {
        match value {
            Value::Varint(value) => {
                put(&mut out, number << 3);
                put(&mut out, *value);
            }
            Value::Fixed64(bytes) => {
                put(&mut out, number << 3 | 1);
                out.extend_from_slice(bytes);
            }
            Value::Fixed32(bytes) => {
                put(&mut out, number << 3 | 5);
                out.extend_from_slice(bytes);
            }
            Value::Bytes(bytes) => {
                put(&mut out, number << 3 | 2);
                put(&mut out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Value::Message(fields) => {
                let inside = encode(fields);
                put(&mut out, number << 3 | 2);
                put(&mut out, inside.len() as u64);
                out.extend_from_slice(&inside);
            }
        }
    }
    out
}

fn count(fields: &[Field]) -> usize {
    let inside = |field: &Field| match &field.value {
        Value::Message(fields) => count(fields),
        _ => 0,
    };
    fields.iter().map(|field| 1 + inside(field)).sum()
}

/// The field of that number in the order of the tree, with the list it is in.
fn at<'a>(fields: &'a mut Vec<Field>, place: &mut usize) -> Option<(&'a mut Vec<Field>, usize)> {
    let mut found = None;
    for index in 0..fields.len() {
        if *place == 0 {
            found = Some((index, false));
            break;
        }
        *place -= 1;
        if let Value::Message(inside) = &fields[index].value {
            let size = count(inside);
            if *place < size {
                found = Some((index, true));
                break;
            }
            *place -= size;
        }
    }
    match found? {
        (index, false) => Some((fields, index)),
        (index, true) => match &mut fields[index].value {
            Value::Message(inside) => at(inside, place),
            _ => None,
        },
    }
}

fn any<'a>(fields: &'a mut Vec<Field>, random: &mut Random) -> Option<(&'a mut Vec<Field>, usize)> {
    let mut place = random.below(count(fields));
    at(fields, &mut place)
}

const NUMBERS: &[i64] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    16,
    -1,
    -2,
    -3,
    127,
    128,
    255,
    256,
    1 << 16,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 32,
    1 << 40,
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
];
const FLOATS: &[f32] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e30,
    -1e30,
    1e-40,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    3e9,
    2.5,
    -7.0,
];

/// Changes one field of a message, perhaps by one of another message.
pub fn mutate(fields: &mut Vec<Field>, donor: &mut Vec<Field>, random: &mut Random) {
    if fields.is_empty() {
        return;
    }
    let other = any(donor, random).map(|(list, index)| list[index].clone());
    let own = any(fields, random).map(|(list, index)| list[index].clone());
    let Some((list, index)) = any(fields, random) else { return };
    match random.below(10) {
        0 => drop(list.remove(index)),
        1 => {
            let copy = list[index].clone();
            list.insert(random.below(list.len() + 1), copy);
        }
        2 => {
            let second = random.below(list.len());
            list.swap(index, second);
        }
        3 => {
            if let Some(other) = other {
                let number = if random.below(4) == 0 { other.number } else { list[index].number };
                list[index] = Field { number, value: other.value };
            }
        }
        4 => {
            if let Some(other) = other {
                list.insert(random.below(list.len() + 1), other);
            }
        }
        5 => {
            if let Some(own) = own {
                list[index].value = own.value;
            }
        }
        _ => change(&mut list[index].value, random),
    }
}

fn change(value: &mut Value, random: &mut Random) {
    match value {
        Value::Varint(number) => {
            *number = match random.below(4) {
                0 => number.wrapping_add(1),
                1 => number.wrapping_sub(1),
                2 => *number ^ 1 << random.below(64),
                _ => NUMBERS[random.below(NUMBERS.len())] as u64,
            }
        }
        Value::Fixed32(bytes) => *bytes = FLOATS[random.below(FLOATS.len())].to_le_bytes(),
        Value::Fixed64(bytes) => *bytes = f64::from(FLOATS[random.below(FLOATS.len())]).to_le_bytes(),
        Value::Bytes(bytes) => {
            let at = random.below(bytes.len());
            match random.below(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, random.next() as u8),
                2 if bytes.len() >= 4 => {
                    let number = FLOATS[random.below(FLOATS.len())].to_le_bytes();
                    let at = at / 4 * 4;
                    let length = (bytes.len() - at).min(4);
                    bytes[at..at + length].copy_from_slice(&number[..length]);
                }
                3 if bytes.len() >= 8 => {
                    let number = NUMBERS[random.below(NUMBERS.len())].to_le_bytes();
                    let at = at / 8 * 8;
                    let length = (bytes.len() - at).min(8);
                    bytes[at..at + length].copy_from_slice(&number[..length]);
                }
                _ if bytes.is_empty() => bytes.push(random.next() as u8),
                _ => bytes[at] = random.next() as u8,
            }
        }
        Value::Message(fields) => {
            if random.below(2) == 0 {
                fields.clear();
            } else if let Some((list, index)) = any(fields, random) {
                change(&mut list[index].value, random);
            }
        }
    }
}
