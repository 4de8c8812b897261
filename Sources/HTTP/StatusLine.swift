/// The first lines of answers, ready made for the statuses of the hot path.
package enum StatusLine {
    /// The words that go with a status code (RFC 9110 15, RFC 6585).
    package static func reason(_ status: Int) -> String {
        switch status {
        case 100: "Continue"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 416: "Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 426: "Upgrade Required"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 507: "Insufficient Storage"
        default: ""
        }
    }

    /// Appends `HTTP/1.1 200 OK` and the line's end.
    static func append(_ status: Int, to output: inout [UInt8]) {
        switch status {
        case 200: output.append(contentsOf: "HTTP/1.1 200 OK\r\n".utf8)
        case 202: output.append(contentsOf: "HTTP/1.1 202 Accepted\r\n".utf8)
        case 204: output.append(contentsOf: "HTTP/1.1 204 No Content\r\n".utf8)
        case 400: output.append(contentsOf: "HTTP/1.1 400 Bad Request\r\n".utf8)
        case 422: output.append(contentsOf: "HTTP/1.1 422 Unprocessable Content\r\n".utf8)
        case 429: output.append(contentsOf: "HTTP/1.1 429 Too Many Requests\r\n".utf8)
        case 503: output.append(contentsOf: "HTTP/1.1 503 Service Unavailable\r\n".utf8)
        default:
            output.append(contentsOf: "HTTP/1.1 ".utf8)
            output.appendPadded(status, digits: 3)
            output.append(.space)
            output.append(contentsOf: reason(status).utf8)
            output.append(contentsOf: "\r\n".utf8)
        }
    }
}
