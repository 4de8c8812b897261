// Linked into every program of an address-sanitizer build: options, in the program and not in the environment,
// which children do not get as a rule. Some tests have a worker crash: signals are left to do what they do.
//
// Without leaks: Swift keeps tags in the upper bits of pointers, those of strings and of enums with several payloads
// for instance, and LeakSanitizer takes what is reached through such a pointer for lost. (Seen with Swift 6.3.1: a
// program that ends with three enum values and a string in global variables is told to have leaked them.)
const char *__asan_default_options(void) {
    return "log_path=" REPORTS
           ":detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0";
}
