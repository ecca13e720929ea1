//! Mutations of a corpus that are the same everywhere: what a fuzzer does, without its guidance.

/// Numbers and words that parsers stumble over.
const WORDS: [&str; 16] = [
    "0",
    "-1",
    "-0.0",
    "1e-400",
    "1e400",
    "3.5e38",
    "18446744073709551615",
    "9007199254740993",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "NaN",
    "2147483648",
    "f64",
];

/// The mutation number `index` of the corpus.
///
/// # Panics
/// If the corpus is empty.
pub fn mutate(corpus: &[Vec<u8>], index: u64) -> Vec<u8> {
    let mut random = SplitMix(index);
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(3) {
        mutate_once(&mut bytes, corpus, &mut random);
    }
    bytes
}

fn mutate_once(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut SplitMix) {
    let from = random.below(bytes.len() + 1);
    let to = (from + random.below(16)).min(bytes.len());
    match random.below(8) {
        0 if from < bytes.len() => bytes[from] ^= 1 << random.below(8),
        1 => drop(bytes.drain(from..to)),
        2 => bytes.truncate(from),
        3 => {
            let piece = bytes[from..to].to_vec();
            bytes.splice(from..from, piece);
        }
        4 => {
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(from..from, word.bytes());
        }
        5 => {
            let other = &corpus[random.below(corpus.len())];
            let start = random.below(other.len() + 1);
            let end = (start + random.below(64)).min(other.len());
            bytes.splice(from..to, other[start..end].iter().copied());
        }
        _ => replace_number(bytes, from, WORDS[random.below(WORDS.len())]),
    }
}

/// Puts a word in the place of the first number after `from`.
fn replace_number(bytes: &mut Vec<u8>, from: usize, word: &str) {
    let is_number = |byte: &u8| byte.is_ascii_digit() || b"-+.eE".contains(byte);
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|offset| from + offset) else {
        return;
    };
    let length = bytes[start..].iter().take_while(|byte| is_number(byte)).count();
    bytes.splice(start..start + length, word.bytes());
}

/// Steele, Lea and Flood's generator.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
