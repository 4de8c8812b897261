/// Which bin of a ``QuantileSketch`` a number falls into, and what number stands for a bin.
///
/// A bin must be so narrow that one number in it is within 1 % of all of them, which is the case when its
/// upper bound is at most (1 + a) / (1 - a) times its lower one. DDSketch (arXiv:1908.10693) takes the
/// logarithm for that; this target has none, and it would be slow. In its place, as in DDSketch's own
/// libraries: for x = 2^e (1 + s) the function f(x) = e + P(s) with P(s) = 6/35 s³ - 3/5 s² + 10/7 s, which
/// is continuous, grows with x and resembles log2. Its slope against ln x is P'(s) (1 + s), at least 10/7 for
/// all s in 0...1 (attained at s = 0 and s = 2/3). With 35 bins to a unit of f a bin thus spans at most
/// (1/35) / (10/7) = 0.02 of ln x, and half of that to either side of its middle is a relative error of tanh
/// 0.01 = 0.99997 %. The rest up to 1 % is room for rounding.
///
/// 35 being whole, every power of two starts a bin. All finite numbers have one, subnormal ones included
/// (where the distance of neighbouring numbers may exceed 1 %, half of that distance adds to the error).
enum LogarithmicBin {
    static let binsPerOctave = 35
    /// Added to the index of a magnitude so that the smallest, 2^-1074, is 1.
    private static let bias = 1074 * binsPerOctave + 1
    /// The largest key; the magnitude just below 2^1024 may be rounded up into the bin that starts there.
    static let keyMax = Int32(1024 * binsPerOctave + bias)
    /// tanh 0.01: a bin's lower bound times one more than this is within so much of all that the bin holds.
    private static let error = 0.00999966667999946

    /// The key of a finite number; keys are ordered as their numbers are, and zero's is 0.
    static func key(_ value: Double) -> Int32 {
        if value == 0 { return 0 }
        let magnitude = value.magnitude
        let (exponent, rest): (Int, Double)
        if magnitude.isNormal {
            exponent = Int(magnitude.exponentBitPattern) - 1023
            rest = Double(bitPattern: magnitude.significandBitPattern | 0x3ff0_0000_0000_0000) - 1
        } else {
            exponent = Int(magnitude.exponent)
            rest = magnitude.significand - 1
        }
        let key = Int32(exponent * binsPerOctave + Int(Double(binsPerOctave) * cubic(rest)) + bias)
        return value < 0 ? -key : key
    }

    /// The number that stands for a bin.
    static func value(_ key: Int32) -> Double {
        if key == 0 { return 0 }
        let (exponent, part) = (Int(key.magnitude) - bias).quotientAndRemainderFloored(binsPerOctave)
        let significand = (1 + inverse(Double(part) / Double(binsPerOctave))) * (1 + error)
        let magnitude = Double(sign: .plus, exponent: exponent, significand: significand)
        return key < 0 ? -magnitude : magnitude
    }

    private static func cubic(_ rest: Double) -> Double {
        ((6.0 / 35 * rest - 3.0 / 5) * rest + 10.0 / 7) * rest
    }

    /// Newton's method; from where it starts, five steps are exact to the last bits for all of 0..<1.
    private static func inverse(_ share: Double) -> Double {
        var rest = share
        for _ in 0..<5 {
            rest -= (cubic(rest) - share) / ((18.0 / 35 * rest - 6.0 / 5) * rest + 10.0 / 7)
        }
        return rest
    }
}

extension Int {
    /// The quotient rounded down, and the remainder that goes with it, which is never negative.
    fileprivate func quotientAndRemainderFloored(_ divisor: Int) -> (quotient: Int, remainder: Int) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
