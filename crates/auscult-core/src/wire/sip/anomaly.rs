//! What is odd about a SIP message that is used all the same.

/// One oddity. Names are stable: counters carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Anomaly {
    /// Bytes other than CR and LF came before the start line.
    JunkBeforeStart,
    /// White space in the start line where one SP belongs.
    StartLineLws,
    /// Angle brackets, white space or a broken address in the Request-URI.
    RuriSyntax,
    /// `?header=value` in the Request-URI.
    RuriHeaders,
    UnknownSipVersion,
    /// Status code outside 100..=699: the status is unknown.
    StatusCodeRange,
    UnknownMethod,
    UnknownUriScheme,
    /// White space, a stray percent sign or a port out of range in a URI of From, To or the Request-URI.
    UriSyntax,
    /// `%00` in a URI.
    UriEscapedNul,
    /// IPv6 reference with three colons in a row.
    Ipv6Reference,
    /// The block of headers ends without an empty line.
    HeadersNotTerminated,
    /// A line without a colon, an empty parameter, a `<` never closed.
    HeaderSyntax,
    TooManyHeaders,
    /// A value longer than [`super::FIELD_MAX`].
    FieldTooLong,
    DuplicateSingletonHeader,
    MissingMandatoryHeader,
    DisplayNameSyntax,
    QuotedStringUnterminated,
    ContactSyntax,
    CseqMethodMismatch,
    /// CSeq, Max-Forwards, Expires or Retry-After above 32 bits.
    ScalarOverflow,
    /// Branch is `z9hG4bK` and nothing more.
    BranchMagicOnly,
    /// Request with neither a branch nor a From tag (RFC 2543).
    Rfc2543,
    DateNotGmt,
    DuplicateContentLength,
    ContentLengthInvalid,
    ContentLengthGtDatagram,
    ContentLengthLtBody,
    /// Bytes after the message that are not its body.
    TrailingOctets,
    Multipart,
    /// Parts beyond the limit, no boundary, or never closed.
    MultipartSyntax,
    UnknownContentType,
}

impl Anomaly {
    pub const ALL: [Anomaly; 33] = [
        Anomaly::JunkBeforeStart,
        Anomaly::StartLineLws,
        Anomaly::RuriSyntax,
        Anomaly::RuriHeaders,
        Anomaly::UnknownSipVersion,
        Anomaly::StatusCodeRange,
        Anomaly::UnknownMethod,
        Anomaly::UnknownUriScheme,
        Anomaly::UriSyntax,
        Anomaly::UriEscapedNul,
        Anomaly::Ipv6Reference,
        Anomaly::HeadersNotTerminated,
        Anomaly::HeaderSyntax,
        Anomaly::TooManyHeaders,
        Anomaly::FieldTooLong,
        Anomaly::DuplicateSingletonHeader,
        Anomaly::MissingMandatoryHeader,
        Anomaly::DisplayNameSyntax,
        Anomaly::QuotedStringUnterminated,
        Anomaly::ContactSyntax,
        Anomaly::CseqMethodMismatch,
        Anomaly::ScalarOverflow,
        Anomaly::BranchMagicOnly,
        Anomaly::Rfc2543,
        Anomaly::DateNotGmt,
        Anomaly::DuplicateContentLength,
        Anomaly::ContentLengthInvalid,
        Anomaly::ContentLengthGtDatagram,
        Anomaly::ContentLengthLtBody,
        Anomaly::TrailingOctets,
        Anomaly::Multipart,
        Anomaly::MultipartSyntax,
        Anomaly::UnknownContentType,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Anomaly::JunkBeforeStart => "junk_before_start",
            Anomaly::StartLineLws => "start_line_lws",
            Anomaly::RuriSyntax => "ruri_syntax",
            Anomaly::RuriHeaders => "ruri_headers",
            Anomaly::UnknownSipVersion => "unknown_sip_version",
            Anomaly::StatusCodeRange => "status_code_range",
            Anomaly::UnknownMethod => "unknown_method",
            Anomaly::UnknownUriScheme => "unknown_uri_scheme",
            Anomaly::UriSyntax => "uri_syntax",
            Anomaly::UriEscapedNul => "uri_escaped_nul",
            Anomaly::Ipv6Reference => "ipv6_reference",
            Anomaly::HeadersNotTerminated => "headers_not_terminated",
            Anomaly::HeaderSyntax => "header_syntax",
            Anomaly::TooManyHeaders => "too_many_headers",
            Anomaly::FieldTooLong => "field_too_long",
            Anomaly::DuplicateSingletonHeader => "duplicate_singleton_header",
            Anomaly::MissingMandatoryHeader => "missing_mandatory_header",
            Anomaly::DisplayNameSyntax => "display_name_syntax",
            Anomaly::QuotedStringUnterminated => "quoted_string_unterminated",
            Anomaly::ContactSyntax => "contact_syntax",
            Anomaly::CseqMethodMismatch => "cseq_method_mismatch",
            Anomaly::ScalarOverflow => "scalar_overflow",
            Anomaly::BranchMagicOnly => "branch_magic_only",
            Anomaly::Rfc2543 => "rfc2543",
            Anomaly::DateNotGmt => "date_not_gmt",
            Anomaly::DuplicateContentLength => "duplicate_content_length",
            Anomaly::ContentLengthInvalid => "content_length_invalid",
            Anomaly::ContentLengthGtDatagram => "content_length_gt_datagram",
            Anomaly::ContentLengthLtBody => "content_length_lt_body",
            Anomaly::TrailingOctets => "trailing_octets",
            Anomaly::Multipart => "multipart",
            Anomaly::MultipartSyntax => "multipart_syntax",
            Anomaly::UnknownContentType => "unknown_content_type",
        }
    }
}

/// A set of [`Anomaly`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Anomalies(u64);

impl Anomalies {
    pub fn set(&mut self, what: Anomaly) {
        self.0 |= 1 << what as u8;
    }

    pub fn has(self, what: Anomaly) -> bool {
        self.0 & (1 << what as u8) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Anomaly> {
        Anomaly::ALL.into_iter().filter(move |a| self.has(*a))
    }
}

impl std::fmt::Debug for Anomalies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(Anomaly::name)).finish()
    }
}
