/// What `millrace doctor` has found out about one thing.
struct Finding: Equatable, Sendable {
    enum Grade: String, Sendable {
        case fine = "ok"
        /// It works, but not as well or as safely as it might.
        case warning = "warn"
        /// The service will not start with it, or cannot keep its promises.
        case failure = "FAIL"
    }

    let grade: Grade
    let subject: String
    /// What there is.
    let fact: String
    /// What to do about it.
    var advice: String?

    static func fine(_ subject: String, _ fact: String) -> Finding {
        Finding(grade: .fine, subject: subject, fact: fact)
    }

    static func warning(_ subject: String, _ fact: String, _ advice: String) -> Finding {
        Finding(grade: .warning, subject: subject, fact: fact, advice: advice)
    }

    static func failure(_ subject: String, _ fact: String, _ advice: String) -> Finding {
        Finding(grade: .failure, subject: subject, fact: fact, advice: advice)
    }

    /// One line, and a second one with the advice.
    var lines: [String] {
        let first = grade.rawValue.padded(to: 4) + "  " + subject.padded(to: 12) + "  " + fact
        return [first] + (advice.map { [String(repeating: " ", count: 20) + $0] } ?? [])
    }
}
