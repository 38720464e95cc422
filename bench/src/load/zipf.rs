//! Which torrent is asked for: all alike, or as on the internet, where few have most of the peers.

use fastrand::Rng;

/// How requests spread over torrents.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Spread {
    /// All torrents alike.
    Uniform,
    /// Torrent number k (from 1) is drawn in proportion to k to the power of minus this.
    Zipf(f64),
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf(exponent) => write!(f, "zipf:{exponent}"),
        }
    }
}

impl std::str::FromStr for Spread {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let exponent = match text.split_once(':') {
            None if text == "uniform" => return Ok(Self::Uniform),
            None if text == "zipf" => Ok(1.0),
            Some(("zipf", exponent)) => exponent.parse::<f64>(),
            _ => {
                return Err(format!(
                    "{text:?} is neither uniform nor zipf nor zipf:EXPONENT"
                ));
            }
        };
        match exponent {
            Ok(exponent) if exponent > 0.0 && exponent <= 10.0 => Ok(Self::Zipf(exponent)),
            _ => Err(format!(
                "{text:?}: the exponent must be above 0 and at most 10"
            )),
        }
    }
}

/// Draws numbers from 0 to `count` - 1 in constant time and no memory, however many there are:
/// a table of a million torrents would push the measured server out of a shared cache.
///
/// Zipf numbers come by rejection from the inverted integral of x to the power of -s ("Rejection-
/// inversion to generate variates from monotone discrete distributions", Hoermann and Derflinger,
/// 1996); fewer than one draw in ten is thrown away.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sampler {
    Uniform(u32),
    Zipf(Zipf),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Zipf {
    count: f64,
    exponent: f64,
    /// The integral at the left end of the first bar, and at the right end of the last.
    low: f64,
    high: f64,
    /// Draws this close to the bar's middle are in it for certain.
    certain: f64,
}

impl Sampler {
    pub(crate) fn new(spread: Spread, count: u32) -> Self {
        match spread {
            Spread::Uniform => Self::Uniform(count),
            Spread::Zipf(exponent) => Self::Zipf(Zipf::new(exponent, count)),
        }
    }

    pub(crate) fn draw(&self, random: &mut Rng) -> u32 {
        match self {
            Self::Uniform(count) => random.u32(..count),
            Self::Zipf(zipf) => zipf.draw(random),
        }
    }
}

impl Zipf {
    fn new(exponent: f64, count: u32) -> Self {
        let mut zipf = Self {
            count: f64::from(count),
            exponent,
            low: 0.0,
            high: 0.0,
            certain: 0.0,
        };
        // The first bar is cut down to its own weight, 1, so that no draw in it is rejected.
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(zipf.count + 0.5);
        zipf.certain = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    fn draw(&self, random: &mut Rng) -> u32 {
        loop {
            let at = self.high + random.f64() * (self.low - self.high);
            let x = self.inverse(at);
            let number = x.round().clamp(1.0, self.count);
            if number - x <= self.certain || at >= self.integral(number + 0.5) - self.weight(number)
            {
                // Between 1 and `count`, a u32, by the clamp above.
                #[allow(clippy::cast_sign_loss)]
                return number as u32 - 1;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    fn integral(&self, x: f64) -> f64 {
        let t = (1.0 - self.exponent) * x.ln();
        x.ln() * expm1_over(t)
    }

    fn inverse(&self, y: f64) -> f64 {
        // Rounding may carry t a hair past -1, where the logarithm ends.
        let t = (y * (1.0 - self.exponent)).max(-1.0);
        (y * ln1p_over(t)).exp()
    }
}

/// `(exp(t) - 1) / t`, also where t is 0: the exponent 1 is the usual one.
fn expm1_over(t: f64) -> f64 {
    if t.abs() > 1e-8 {
        t.exp_m1() / t
    } else {
        1.0 + t / 2.0
    }
}

/// `ln(1 + t) / t`, also where t is 0.
fn ln1p_over(t: f64) -> f64 {
    if t.abs() > 1e-8 {
        t.ln_1p() / t
    } else {
        1.0 - t / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_numbers_are_as_frequent_as_their_weights_say() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = Rng::with_seed(seed);
        for exponent in [0.5, 0.8, 1.0, 1.3, 2.0] {
            for count in [1_u32, 2, 10, 1000] {
                const DRAWS: u32 = 400_000;
                let sampler = Sampler::new(Spread::Zipf(exponent), count);
                let mut draws = vec![0_u32; count as usize];
                for _ in 0..DRAWS {
                    draws[sampler.draw(&mut random) as usize] += 1;
                }
                let weights: Vec<f64> = (1..=count)
                    .map(|number| f64::from(number).powf(-exponent))
                    .collect();
                let total: f64 = weights.iter().sum();
                for (number, (&drawn, weight)) in draws.iter().zip(&weights).enumerate() {
                    let expected = f64::from(DRAWS) * weight / total;
                    // Six standard deviations: one run in many millions fails by chance.
                    let slack = 6.0 * expected.sqrt() + 6.0;
                    assert!(
                        (f64::from(drawn) - expected).abs() < slack,
                        "number {number} of {count}, exponent {exponent}: {drawn}, not {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_sampler_stays_inside_the_largest_range() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = Rng::with_seed(seed);
        for spread in [
            Spread::Uniform,
            Spread::Zipf(0.1),
            Spread::Zipf(1.0),
            Spread::Zipf(10.0),
        ] {
            let sampler = Sampler::new(spread, 5_000_000);
            for _ in 0..100_000 {
                assert!(sampler.draw(&mut random) < 5_000_000);
            }
        }
    }

    #[test]
    fn spreads_are_read_from_their_names() {
        assert_eq!("uniform".parse(), Ok(Spread::Uniform));
        assert_eq!("zipf".parse(), Ok(Spread::Zipf(1.0)));
        assert_eq!("zipf:0.8".parse(), Ok(Spread::Zipf(0.8)));
        for wrong in [
            "zipf:0",
            "zipf:x",
            "zipf:",
            "normal",
            "uniform:1",
            "zipf:nan",
        ] {
            assert!(wrong.parse::<Spread>().is_err(), "{wrong}");
        }
    }
}
