//! Directives other than rules and exceptions.

use super::{
    control::{mode, switch},
    report::{Fault, Findings, fault, known_names},
    source::Words,
    target::shortened,
};
use crate::rule::Settings;

/// Directives with a meaning.
const SUPPORTED: &[&str] = &[
    "Include",
    "IncludeOptional",
    "SecAction",
    "SecArgumentSeparator",
    "SecArgumentsLimit",
    "SecComponentSignature",
    "SecDefaultAction",
    "SecMarker",
    "SecRequestBodyAccess",
    "SecRequestBodyJsonDepthLimit",
    "SecRequestBodyLimit",
    "SecResponseBodyAccess",
    "SecResponseBodyLimit",
    "SecResponseBodyMimeType",
    "SecResponseBodyMimeTypesClear",
    "SecRule",
    "SecRuleEngine",
    "SecRuleRemoveById",
    "SecRuleRemoveByMsg",
    "SecRuleRemoveByTag",
    "SecRuleUpdateActionById",
    "SecRuleUpdateTargetById",
    "SecRuleUpdateTargetByMsg",
    "SecRuleUpdateTargetByTag",
];

const LOG: &str = "the log is configured in selvedge.kdl";
const LIMIT: &str = "bounds and what happens at them are the policy's";
const DISK: &str = "nothing is written to disk";
const SERVER: &str = "this is the edge's own affair";
const HASH: &str = "links are not signed";

/// Directives that decide nothing, and why.
const INERT: &[(&str, &str)] = &[
    ("SecAuditEngine", LOG),
    ("SecAuditLog", LOG),
    ("SecAuditLog2", LOG),
    ("SecAuditLogDir", LOG),
    ("SecAuditLogDirMode", LOG),
    ("SecAuditLogFileMode", LOG),
    ("SecAuditLogFormat", LOG),
    ("SecAuditLogParts", LOG),
    ("SecAuditLogPrefix", LOG),
    ("SecAuditLogRelevantStatus", LOG),
    ("SecAuditLogStorageDir", LOG),
    ("SecAuditLogType", LOG),
    ("SecCacheTransformations", "transformed values are always shared"),
    ("SecChrootDir", SERVER),
    ("SecCollectionTimeout", "collections are bounded by their number, and `expirevar`"),
    ("SecConnReadStateLimit", SERVER),
    ("SecConnWriteStateLimit", SERVER),
    ("SecCookieFormat", "cookies are of version 0, as browsers send them"),
    ("SecCookieV0Separator", "cookies are separated by a semicolon"),
    ("SecDataDir", DISK),
    ("SecDebugLog", LOG),
    ("SecDebugLogLevel", LOG),
    ("SecDisableBackendCompression", SERVER),
    ("SecGuardianLog", LOG),
    ("SecIgnoreRuleCompilationErrors", "a rule that is wrong is an error"),
    ("SecInterceptOnError", "a rule that cannot be asked never matches"),
    ("SecParseXmlIntoArgs", "XML is in the variable XML only"),
    ("SecPcreMatchLimit", "expressions run in linear time"),
    ("SecPcreMatchLimitRecursion", "expressions run in linear time"),
    ("SecReadStateLimit", SERVER),
    ("SecRemoteTimeout", "nothing is fetched from elsewhere"),
    ("SecRequestBodyInMemoryLimit", LIMIT),
    ("SecRequestBodyLimitAction", LIMIT),
    ("SecRequestBodyNoFilesLimit", LIMIT),
    ("SecRequestEncoding", "bodies are read by the charset they say"),
    ("SecResponseBodyLimitAction", LIMIT),
    ("SecRuleInheritance", "each route's rules are said there"),
    ("SecRulePerfTime", "metrics count for each rule"),
    ("SecRxPreFilter", "expressions are always filtered by their literals"),
    ("SecSensorId", LOG),
    ("SecServerSignature", SERVER),
    ("SecStatusEngine", "nobody is told about this installation"),
    ("SecTmpDir", DISK),
    ("SecTmpSaveUploadedFiles", DISK),
    ("SecUnicodeCodePage", "the map of code page 20127 is built in"),
    ("SecUnicodeMap", "the map of code page 20127 is built in"),
    ("SecUnicodeMapFile", "the map of code page 20127 is built in"),
    ("SecUploadDir", DISK),
    ("SecUploadFileLimit", LIMIT),
    ("SecUploadFileMode", DISK),
    ("SecUploadKeepFiles", DISK),
    ("SecWebAppId", "collections belong to the agent"),
    ("SecWriteStateLimit", SERVER),
    ("SecXmlExternalEntity", "external entities are never resolved"),
];

/// Directives that would decide something, and why they do not.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("SecConnEngine", "connections are bounded by the edge"),
    ("SecContentInjection", "responses are not rewritten"),
    ("SecDataset", "data sets of Coraza are not read; use @pmFromFile"),
    ("SecEncryptionEngine", HASH),
    ("SecEncryptionKey", HASH),
    ("SecEncryptionMethodPm", HASH),
    ("SecEncryptionMethodRx", HASH),
    ("SecEncryptionParam", HASH),
    ("SecGeoLookupDb", "there is no database of places"),
    ("SecGsbLookupDb", "no list of dangerous addresses is asked"),
    ("SecHashEngine", HASH),
    ("SecHashKey", HASH),
    ("SecHashMethodPm", HASH),
    ("SecHashMethodRx", HASH),
    ("SecHashParam", HASH),
    ("SecHttpBlKey", "no name server is asked while a request waits"),
    ("SecPdfProtect", "responses are not rewritten"),
    ("SecPdfProtectMethod", "responses are not rewritten"),
    ("SecPdfProtectSecret", "responses are not rewritten"),
    ("SecPdfProtectTimeout", "responses are not rewritten"),
    ("SecPdfProtectTokenName", "responses are not rewritten"),
    ("SecRemoteRules", "nothing is fetched from elsewhere"),
    ("SecRemoteRulesFailAction", "nothing is fetched from elsewhere"),
    ("SecRuleScript", "no script is run"),
    ("SecStreamInBodyInspection", "bodies are inspected as a whole or by their beginning"),
    ("SecStreamOutBodyInspection", "bodies are inspected as a whole or by their beginning"),
];

/// Takes a setting over; notes a directive without effect; an unknown one is an error.
pub(super) fn apply(
    name: &str,
    arguments: &str,
    settings: &mut Settings,
    found: &mut Findings,
) -> Result<(), Fault> {
    let value = || Words(arguments).only().map(|word| word.text().into_owned());
    match name.to_ascii_lowercase().as_str() {
        "secruleengine" => settings.mode = Some(mode(&value()?)?),
        "secrequestbodyaccess" => settings.request_body = Some(switch(&value()?)?),
        "secresponsebodyaccess" => settings.response_body = Some(switch(&value()?)?),
        "secrequestbodylimit" => settings.request_body_max = Some(number(&value()?)?),
        "secresponsebodylimit" => settings.response_body_max = Some(number(&value()?)?),
        "secargumentslimit" => settings.arguments_max = Some(number(&value()?)?),
        "secrequestbodyjsondepthlimit" => settings.json_depth_max = Some(number(&value()?)?),
        "secargumentseparator" => settings.argument_separator = Some(separator(&value()?)?),
        "seccomponentsignature" => settings.signatures.push(value()?),
        "secresponsebodymimetype" => media_types(arguments, settings)?,
        "secresponsebodymimetypesclear" => settings.response_types = Some(Vec::new()),
        _ => without_effect(name, found)?,
    }
    Ok(())
}

fn number<T: std::str::FromStr>(written: &str) -> Result<T, Fault> {
    written.parse().map_err(|_| Fault {
        message: format!("`{}` is no number", shortened(written)),
        remedy: "write a whole number, without a unit".to_owned(),
    })
}

fn separator(written: &str) -> Result<u8, Fault> {
    match written.as_bytes() {
        [one] => Ok(*one),
        _ => fault(format!("`{}` is not one character", shortened(written)), "write `&` or `;`"),
    }
}

fn media_types(arguments: &str, settings: &mut Settings) -> Result<(), Fault> {
    let words = Words(arguments).all()?;
    let types = settings.response_types.get_or_insert_default();
    for word in words {
        types.extend(word.text().split_whitespace().map(str::to_ascii_lowercase));
    }
    Ok(())
}

fn without_effect(name: &str, found: &mut Findings) -> Result<(), Fault> {
    let known = |list: &'static [(&str, &str)]| {
        list.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    if let Some((known, why)) = known(INERT) {
        found.inert(*known, *why);
        return Ok(());
    }
    if let Some((known, why)) = known(UNSUPPORTED) {
        found.unsupported(*known, *why);
        return Ok(());
    }
    if name.starts_with('<') {
        return fault(
            format!("`{}` is a section of Apache's configuration", shortened(name)),
            "keep what stands in it, and say in selvedge.kdl for which routes it holds",
        );
    }
    let others = INERT.iter().chain(UNSUPPORTED).map(|(name, _)| *name);
    let names = SUPPORTED.iter().copied().chain(others);
    fault(format!("no directive `{}`", shortened(name)), known_names(name, "", names))
}
