//! What rules can look at.

macro_rules! variables {
    ($($name:ident $text:literal $shape:ident),* $(,)?) => {
        /// What a rule can look at. Names are SecLang's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are the language's; its reference says what they mean")]
        pub enum Variable { $($name),* }

        impl Variable {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the name as rules write it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Returns whether it has entries with names.
            pub fn is_collection(self) -> bool {
                match self { $(Self::$name => variables!(@$shape)),* }
            }

            /// Returns whether it is of the response.
            pub fn is_of_response(self) -> bool {
                self.name().starts_with("RESPONSE_")
            }
        }
    };
    (@one) => { false };
    (@many) => { true };
}

variables! {
    Args "ARGS" many,
    ArgsNames "ARGS_NAMES" many,
    ArgsGet "ARGS_GET" many,
    ArgsGetNames "ARGS_GET_NAMES" many,
    ArgsPost "ARGS_POST" many,
    ArgsPostNames "ARGS_POST_NAMES" many,
    ArgsCombinedSize "ARGS_COMBINED_SIZE" one,
    Env "ENV" many,
    Files "FILES" many,
    FilesCombinedSize "FILES_COMBINED_SIZE" one,
    FilesNames "FILES_NAMES" many,
    FilesSizes "FILES_SIZES" many,
    FilesTmpContent "FILES_TMP_CONTENT" many,
    FullRequestLength "FULL_REQUEST_LENGTH" one,
    Global "GLOBAL" many,
    GraphqlAliases "GRAPHQL_ALIASES" one,
    GraphqlBatch "GRAPHQL_BATCH" one,
    GraphqlDepth "GRAPHQL_DEPTH" one,
    GraphqlDirectives "GRAPHQL_DIRECTIVES" one,
    GraphqlIntrospection "GRAPHQL_INTROSPECTION" one,
    GraphqlRootFields "GRAPHQL_ROOT_FIELDS" one,
    HighestSeverity "HIGHEST_SEVERITY" one,
    InboundDataError "INBOUND_DATA_ERROR" one,
    Ip "IP" many,
    MatchedVar "MATCHED_VAR" one,
    MatchedVarName "MATCHED_VAR_NAME" one,
    MatchedVars "MATCHED_VARS" many,
    MatchedVarsNames "MATCHED_VARS_NAMES" many,
    ModsecBuild "MODSEC_BUILD" one,
    MultipartBoundaryQuoted "MULTIPART_BOUNDARY_QUOTED" one,
    MultipartBoundaryWhitespace "MULTIPART_BOUNDARY_WHITESPACE" one,
    MultipartCrlfLfLines "MULTIPART_CRLF_LF_LINES" one,
    MultipartDataAfter "MULTIPART_DATA_AFTER" one,
    MultipartDataBefore "MULTIPART_DATA_BEFORE" one,
    MultipartFileLimitExceeded "MULTIPART_FILE_LIMIT_EXCEEDED" one,
    MultipartFilename "MULTIPART_FILENAME" many,
    MultipartHeaderFolding "MULTIPART_HEADER_FOLDING" one,
    MultipartInvalidHeaderFolding "MULTIPART_INVALID_HEADER_FOLDING" one,
    MultipartInvalidPart "MULTIPART_INVALID_PART" one,
    MultipartInvalidQuoting "MULTIPART_INVALID_QUOTING" one,
    MultipartLfLine "MULTIPART_LF_LINE" one,
    MultipartMissingSemicolon "MULTIPART_MISSING_SEMICOLON" one,
    MultipartName "MULTIPART_NAME" many,
    MultipartPartHeaders "MULTIPART_PART_HEADERS" many,
    MultipartStrictError "MULTIPART_STRICT_ERROR" one,
    MultipartUnmatchedBoundary "MULTIPART_UNMATCHED_BOUNDARY" one,
    OutboundDataError "OUTBOUND_DATA_ERROR" one,
    PathInfo "PATH_INFO" one,
    QueryString "QUERY_STRING" one,
    RemoteAddr "REMOTE_ADDR" one,
    RemoteHost "REMOTE_HOST" one,
    RemotePort "REMOTE_PORT" one,
    ReqbodyError "REQBODY_ERROR" one,
    ReqbodyErrorMsg "REQBODY_ERROR_MSG" one,
    ReqbodyProcessor "REQBODY_PROCESSOR" one,
    ReqbodyProcessorError "REQBODY_PROCESSOR_ERROR" one,
    ReqbodyProcessorErrorMsg "REQBODY_PROCESSOR_ERROR_MSG" one,
    RequestBasename "REQUEST_BASENAME" one,
    RequestBody "REQUEST_BODY" one,
    RequestBodyLength "REQUEST_BODY_LENGTH" one,
    RequestCookies "REQUEST_COOKIES" many,
    RequestCookiesNames "REQUEST_COOKIES_NAMES" many,
    RequestFilename "REQUEST_FILENAME" one,
    RequestHeaders "REQUEST_HEADERS" many,
    RequestHeadersNames "REQUEST_HEADERS_NAMES" many,
    RequestLine "REQUEST_LINE" one,
    RequestMethod "REQUEST_METHOD" one,
    RequestProtocol "REQUEST_PROTOCOL" one,
    RequestUri "REQUEST_URI" one,
    RequestUriRaw "REQUEST_URI_RAW" one,
    Resource "RESOURCE" many,
    ResponseBody "RESPONSE_BODY" one,
    ResponseContentLength "RESPONSE_CONTENT_LENGTH" one,
    ResponseContentType "RESPONSE_CONTENT_TYPE" one,
    ResponseHeaders "RESPONSE_HEADERS" many,
    ResponseHeadersNames "RESPONSE_HEADERS_NAMES" many,
    ResponseProtocol "RESPONSE_PROTOCOL" one,
    ResponseStatus "RESPONSE_STATUS" one,
    Rule "RULE" many,
    ServerAddr "SERVER_ADDR" one,
    ServerName "SERVER_NAME" one,
    ServerPort "SERVER_PORT" one,
    Session "SESSION" many,
    StatusLine "STATUS_LINE" one,
    Time "TIME" one,
    TimeDay "TIME_DAY" one,
    TimeEpoch "TIME_EPOCH" one,
    TimeHour "TIME_HOUR" one,
    TimeMin "TIME_MIN" one,
    TimeMon "TIME_MON" one,
    TimeSec "TIME_SEC" one,
    TimeWday "TIME_WDAY" one,
    TimeYear "TIME_YEAR" one,
    Tx "TX" many,
    UniqueId "UNIQUE_ID" one,
    UnreadBody "UNREAD_BODY" one,
    User "USER" many,
    WebSocketFrame "WEBSOCKET_FRAME" one,
    Xml "XML" many,
}
