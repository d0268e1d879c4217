//! Computes how evenly keys fill the partitions of a topic: the load of the fullest partition when
//! the keys' rates follow a power law (Zipf) and the producer partitions by key id as Kafka's own
//! client does (murmur2). The loads are exact expectations, without sampling.

use clap::Parser;

#[derive(Parser)]
#[command(after_help = "Examples:
  cargo run --no-default-features --example partition_skew
  cargo run --no-default-features --example partition_skew -- \\
      --keys 1000000 --partitions 48,96 --exponents 0.9 --events 250000")]
struct Args {
    /// Number of keys in the fleet.
    #[arg(long, default_value_t = 100_000_000)]
    keys: u64,
    /// Events a second over all keys.
    #[arg(long, default_value_t = 10_000_000.0)]
    events: f64,
    /// Exponents of the power law: the key of rank r has a rate in proportion to r^-s.
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.6, 0.8, 0.9, 1.0, 1.1])]
    exponents: Vec<f64>,
    /// Numbers of partitions.
    #[arg(long, value_delimiter = ',', default_values_t = [48, 192, 768])]
    partitions: Vec<usize>,
}

/// Load and keys of each partition.
#[derive(Clone, Default)]
struct Loads {
    rates: Vec<f64>,
    keys: Vec<u64>,
}

fn main() {
    let args = Args::parse();
    anstream::println!(
        "{:>8} {:>10} | {:>12} | {:>13} {:>13} {:>9} | {:>12}",
        "exponent",
        "partitions",
        "busiest key",
        "mean /s",
        "fullest /s",
        "ratio",
        "most keys"
    );
    for exponent in &args.exponents {
        let (total, topics) = fill(&args, *exponent);
        for Loads { rates, keys } in topics {
            let mean = args.events / rates.len() as f64;
            let fullest = rates.iter().copied().fold(0.0, f64::max) / total * args.events;
            anstream::println!(
                "{exponent:>8} {:>10} | {:>12.0} | {mean:>13.0} {fullest:>13.0} {:>9.2} | {:>12}",
                rates.len(),
                args.events / total,
                fullest / mean,
                keys.iter().max().copied().unwrap_or_default()
            );
        }
    }
}

/// The sum of all weights (the first key's is 1), and the loads of the partitions of each topic.
fn fill(args: &Args, exponent: f64) -> (f64, Vec<Loads>) {
    let empty = |count: &usize| Loads { rates: vec![0.0; *count], keys: vec![0; *count] };
    let mut topics: Vec<Loads> = args.partitions.iter().map(empty).collect();
    let mut total = 0.0;
    // Adds the lightest keys first, so that large sums do not swallow small weights.
    for rank in (1..=args.keys).rev() {
        let weight = (rank as f64).powf(-exponent);
        total += weight;
        // Ids are as long and as random as those that keywatch makes from raw keys.
        let hash = murmur2(&scattered(rank)) & 0x7fff_ffff;
        for Loads { rates, keys } in &mut topics {
            let partition = hash as usize % rates.len();
            rates[partition] += weight;
            keys[partition] += 1;
        }
    }
    (total, topics)
}

/// 16 hexadecimal digits that look random (the finalizer of SplitMix64).
fn scattered(rank: u64) -> [u8; 16] {
    let mut mixed = rank.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    std::array::from_fn(|digit| b"0123456789abcdef"[(mixed >> (4 * digit)) as usize & 15])
}

/// MurmurHash2 with the seed of Kafka's default partitioner
/// (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(bytes: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MIX);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MIX) ^ word.wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of Kafka (`UtilsTest.testMurmur2`).
    #[test]
    fn hashes_as_kafka_s_partitioner_does() {
        let vectors = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, hash) in vectors {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }
}
