/// What the program's exit codes mean.
enum Exit {
    static let success: Int32 = 0
    /// Something failed while it ran.
    static let failure: Int32 = 1
    /// The command line, a variable or the configuration file is wrong.
    static let usage: Int32 = 2
    /// The database belongs to another version and must not be touched (EX_CONFIG of sysexits.h).
    static let foreignDatabase: Int32 = 78

    /// A signal has ended it early, in order; the number that shells give for one that the signal killed.
    static func signal(_ number: Int32) -> Int32 { 128 + number }
}

/// Ends a command with a code and one line for people on standard error.
struct CommandFailure: Error, Equatable {
    let code: Int32
    let message: String

    init(_ code: Int32, _ message: String) {
        self.code = code
        self.message = message
    }

    /// A failure at run time.
    init(_ message: String) { self.init(Exit.failure, message) }
}
