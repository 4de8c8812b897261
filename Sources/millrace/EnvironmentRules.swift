/// Which variables with the program's prefix may be set: an unknown one is a typing error that would
/// otherwise go unnoticed.
enum EnvironmentRules {
    /// For settings of commands other than `serve`, and for what is no setting at all.
    static let others: Set<String> = [
        "MILLRACE_CONFIG", "MILLRACE_URL", "MILLRACE_KEY", "MILLRACE_CHUNK", "MILLRACE_CONCURRENCY",
        "MILLRACE_RETRIES", "MILLRACE_STATE",
        // For the project's own tests.
        "MILLRACE_BINARY", "MILLRACE_WORKER_FAULTS",
    ]

    /// What Kubernetes sets in every pod beside a service that is called `millrace`, with addresses in it.
    static let serviceLinkPrefixes = ["MILLRACE_SERVICE_", "MILLRACE_PORT"]

    /// The variables that mean nothing to this program, in order.
    static func unknown(in environment: [String: String]) -> [String] {
        let known = others.union(Setting.allCases.map(\.variable))
        return environment.keys.filter { name in
            name.hasPrefix(Setting.variablePrefix) && !known.contains(name)
                && !serviceLinkPrefixes.contains { name.hasPrefix($0) }
        }.sorted()
    }

    static func check(_ environment: [String: String]) throws(ConfigurationError) {
        if let name = unknown(in: environment).first { throw .unknownVariable(name) }
    }
}
