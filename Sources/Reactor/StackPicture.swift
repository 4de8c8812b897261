/// A thread's registers and the top of its stack, as they were at one moment.
struct StackPicture: Equatable, Sendable {
    let instruction: UInt
    let stackPointer: UInt
    let framePointer: UInt
    /// What lies on the stack, from the stack pointer up.
    let words: [UInt]

    private static let wordBytes = UInt(MemoryLayout<UInt>.size)
    /// Marks a saved frame pointer below which an asynchronous function keeps its context (the "extended
    /// frame" of Swift's calling convention).
    private static let asynchronous: UInt = 1 << 60

    /// The addresses of the code under way, the innermost first: where it was interrupted, then the places
    /// that its calls return to.
    ///
    /// Follows the frame pointers, which Swift keeps. A library may not (glibc does not), and what has called
    /// it is then in no frame: its place is looked for between the stack pointer and the first frame. The
    /// walk ends at the first value that cannot be right.
    ///
    /// - Parameters:
    ///   - limit: The most that are returned.
    ///   - code: What the process may execute.
    /// - Returns: At least the address where it was interrupted.
    func addresses(atMost limit: Int, in code: some CodeMap) -> [UInt] {
        var addresses = [instruction]
        guard var index = index(of: framePointer) ?? firstFrame(in: code) else { return addresses }
        var frame = stackPointer + UInt(index) * Self.wordBytes
        if !code.keepsFrames(instruction), let caller = unframedCaller(below: index, in: code) {
            addresses.append(caller)
        }
        while addresses.count < limit {
            let place = words[index + 1]
            if !code.contains(place) { break }
            addresses.append(place)
            let next = words[index] & ~Self.asynchronous
            // Frames lie one above the other: anything else is no frame, and could lead round in a circle.
            guard next > frame, let nextIndex = self.index(of: next) else { break }
            (frame, index) = (next, nextIndex)
        }
        return addresses
    }

    /// The place of a frame in `words`; `nil` when it is not on this stack.
    private func index(of frame: UInt) -> Int? {
        guard frame >= stackPointer, frame % Self.wordBytes == 0 else { return nil }
        let index = (frame - stackPointer) / Self.wordBytes
        return index + 1 < UInt(words.count) ? Int(index) : nil
    }

    /// The lowest place that looks like a frame of code that keeps frames, for when a library has put
    /// something else into the frame pointer.
    private func firstFrame(in code: some CodeMap) -> Int? {
        words.indices.dropLast().first { place in
            guard let next = index(of: words[place] & ~Self.asynchronous), next > place else { return false }
            return code.keepsFrames(words[place + 1]) && code.followsCall(words[place + 1])
        }
    }

    /// Where a function that has called a library without frames will go on.
    ///
    /// That function's frame is the first one, so it is the one that whoever called it has called; where that
    /// call names its target, the place has to be in it. What is found lowest has been pushed last.
    private func unframedCaller(below index: Int, in code: some CodeMap) -> UInt? {
        let target = code.callTarget(before: words[index + 1])
        return words[..<index].first { word in
            guard code.keepsFrames(word), code.followsCall(word) else { return false }
            return target.map { code.function(of: word) == $0 } ?? true
        }
    }
}

/// What is known of the code of a process.
protocol CodeMap {
    /// Whether that address is in something executable.
    func contains(_ address: UInt) -> Bool
    /// Whether the code there keeps frame pointers.
    func keepsFrames(_ address: UInt) -> Bool
    /// Whether the instruction before that address is a call.
    func followsCall(_ address: UInt) -> Bool
    /// The function that the call before that address calls; `nil` when it is no call or names none.
    func callTarget(before address: UInt) -> UInt?
    /// Where the function that holds that address begins; `nil` when that is not known.
    func function(of address: UInt) -> UInt?
}
