extension HyperLogLog {
    /// The number of different values, as near as it can be told.
    ///
    /// Ertl's improved raw estimator ("New cardinality estimation algorithms for HyperLogLog sketches",
    /// arXiv:1702.01284, algorithm 6): no bias table, no switch between ranges.
    package var estimate: Int {
        if !isDense { return entries.count }
        let count = Double(Self.registerCount)
        var histogram = [Int](repeating: 0, count: Self.rankMax + 1)
        for rank in registers { histogram[Int(rank)] += 1 }

        var sum = count * Self.tau(1 - Double(histogram[Self.rankMax]) / count)
        for rank in stride(from: Self.rankMax - 1, through: 1, by: -1) {
            sum = 0.5 * (sum + Double(histogram[rank]))
        }
        sum += count * Self.sigma(Double(histogram[0]) / count)
        let estimate = Self.alpha * count * count / sum
        // Registers that only forged bytes can hold lead to infinity.
        return estimate < 0x1p62 ? Int(estimate.rounded()) : 1 << 62
    }

    /// The standard error of ``estimate`` as a share of it: none while it is exact, else 1.04 / √4096.
    var standardError: Double { isDense ? 0.01625 : 0 }

    /// 1 / (2 ln 2), the limit of HyperLogLog's constant for many registers.
    private static var alpha: Double { 0.7213475204444817 }

    /// x + Σ x^(2^k) · 2^(k-1) for k from 1, the share of registers never hit.
    private static func sigma(_ share: Double) -> Double {
        if share == 1 { return .infinity }
        var (power, factor, sum) = (share, 1.0, share)
        while true {
            power *= power
            let next = sum + power * factor
            if next == sum { return sum }
            sum = next
            factor += factor
        }
    }

    /// (1 - x - Σ (1 - x^(2^-k))² · 2^-k for k from 1) / 3, the share of registers that are full.
    private static func tau(_ share: Double) -> Double {
        if share == 0 || share == 1 { return 0 }
        var (root, factor, sum) = (share, 1.0, 1 - share)
        while true {
            root = root.squareRoot()
            factor *= 0.5
            let next = sum - (1 - root) * (1 - root) * factor
            if next == sum { return sum / 3 }
            sum = next
        }
    }
}
