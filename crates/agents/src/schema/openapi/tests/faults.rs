//! What is wrong with descriptions, and what is only noted.

use super::*;

#[track_caller]
fn check_faults(text: &str, expected: Expect) {
    let faults = load_text(text).err().expect("the description has faults");
    expected.assert_eq(&faults.join("\n"));
}

#[track_caller]
fn check_notes(text: &str, expected: Expect) {
    expected.assert_eq(&load_text(text).map(|(_, notes)| notes).unwrap().join("\n"));
}

#[test]
fn faults_of_descriptions() {
    check_faults(
        "swagger: '2.0'",
        expect!["api.yaml:1: # has no `openapi`: it is no description of OpenAPI 3"],
    );
    check_faults(
        "openapi: 3.2.0\npaths: {}",
        expect!["api.yaml:1: #/openapi is version 3.2.0; 3.0 and 3.1 are understood"],
    );
    check_faults("openapi: 3.0.0", expect!["api.yaml:1: # has no `paths`"]);
    check_faults(
        "openapi: 3.1.0\njsonSchemaDialect: https://json-schema.org/draft-07/schema\npaths: {}",
        expect!["api.yaml:2: #/jsonSchemaDialect names a dialect other than OpenAPI's own"],
    );
    check_faults(
        "openapi: 3.0.0\npaths:\n  /a/{x}:\n    get: {responses: {}}\n  /a/{y}:\n    get:\n      \
         parameters: [{name: y, in: path, schema: {}}, {name: z, in: path, schema: {}}]\n      \
         responses: {}\n  b: {get: {responses: {}}}\n",
        expect![[r#"
            api.yaml:4: #/paths/~1a~1%7Bx%7D/get does not describe the parameter `x` of its path
            api.yaml:6: #/paths/~1a~1%7By%7D/get describes a parameter `z` that its path does not have
            api.yaml:5: #/paths/~1a~1%7By%7D matches the same paths as another template
            api.yaml:9: #/paths/b does not begin with `/`"#]],
    );
    check_faults(
        "openapi: 3.0.0\npaths:\n  /a:\n    parameters:\n      - {in: query}\n      - {name: a, in: body}\n      \
         - {name: b, in: query, style: matrix, schema: {}}\n      - {name: c, in: query, schema: {}}\n      \
         - {name: c, in: query, schema: {}}\n      - {name: d, in: query, style: deepObject, schema: {type: string}}\n      \
         - {name: e, in: query, content: {}}\n      - {$ref: '#/components/parameters/none'}\n    \
         get: {responses: {abc: {}, '600': {}}, requestBody: {}}\n    \
         post: {responses: {}, requestBody: {content: {json: {}}}}\n",
        expect![[r#"
            api.yaml:5: #/paths/~1a/parameters/0 has no `name` or no `in`
            api.yaml:6: #/paths/~1a/parameters/1/in is none of path, query, header, cookie
            api.yaml:7: #/paths/~1a/parameters/2/style is no style of query parameters
            api.yaml:9: #/paths/~1a/parameters/4 describes a parameter for the second time
            api.yaml:10: #/paths/~1a/parameters/5/style `deepObject` is for objects
            api.yaml:11: #/paths/~1a/parameters/6/content does not have one media type
            api.yaml:12: #/paths/~1a/parameters/7/$ref there is nothing at `#/components/parameters/none`
            api.yaml:13: #/paths/~1a/get/requestBody has no `content`
            api.yaml:13: #/paths/~1a/get/responses/600 is no status, no class as `2XX`, and not `default`
            api.yaml:13: #/paths/~1a/get/responses/abc is no status, no class as `2XX`, and not `default`
            api.yaml:14: #/paths/~1a/post/requestBody/content/json is not a media type or a range of them"#]],
    );
    check_faults(
        "openapi: 3.0.0\nservers: [{url: '/{a}'}, {description: x}]\npaths: {/a: {get: {responses: {}}}}",
        expect![[r#"
            api.yaml:2: #/servers/0/url has a variable that is not described
            api.yaml:2: #/servers/1 has no `url`"#]],
    );
    check_faults(
        "openapi: 3.0.0\npaths: {/a: {$ref: '#/paths/~1a'}}",
        expect!["api.yaml:2: #/paths/~1a is a reference that leads to itself"],
    );
    check_faults(
        "openapi: 3.0.0\npaths: {/a: {$ref: 'https://example.com/a.yaml'}}",
        expect![[
            r##"api.yaml:2: #/paths/~1a/$ref `https://example.com/a.yaml` is not a file of the document's folder; nothing is fetched"##
        ]],
    );
}

#[test]
fn faults_of_schemas() {
    check_faults(
        &with_schema("3.0.0", "1"),
        expect![[
            r##"api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema is not a schema"##
        ]],
    );
    check_faults(
        &with_schema("3.0.0", "{properties: {a: {type: [string]}, b: {const: 1}}}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/properties/a/type is one type in OpenAPI 3.0; see `nullable`
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/properties/b/const is not part of OpenAPI 3.0 and would not be checked"#]],
    );
    check_faults(
        &with_schema("3.0.0", "{exclusiveMinimum: 1, oneOf: [], $ref2: x}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/oneOf is not a list of schemas
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/exclusiveMinimum is a boolean in OpenAPI 3.0
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/oneOf must have 1 item at least"#]],
    );
    check_faults(
        &with_schema("3.0.0", "{type: strin, minLength: -1}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/minLength must not be less than 0
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/type must be one of `array`, `boolean`, `integer`, `null`, `number`, `object`, `string`"#]],
    );
    check_faults(
        &with_schema("3.0.0", "{properties: {a: {pattern: '^(?=a)'}}}"),
        expect![[
            r##"api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/properties/a/pattern `^(?=a)` has look-around, a back-reference or too many repetitions, which take more than linear time"##
        ]],
    );
    check_faults(
        &with_schema("3.0.0", "{items: {$ref: '#/components/schemas/none'}}"),
        expect![[
            r##"api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/items/$ref there is nothing at `#/components/schemas/none`"##
        ]],
    );
    check_faults(
        &with_schema(
            "3.1.0",
            "{nullable: true, $anchor: a, $dynamicRef: '#a', $schema: 'http://json-schema.org/draft-07/schema#'}",
        ),
        expect![[r#"
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/$anchor is not supported in descriptions: refer by file and pointer
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/$dynamicRef is not supported in descriptions: refer by file and pointer
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/$schema names a dialect other than OpenAPI's own
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/nullable is gone in OpenAPI 3.1; write `type: [T, "null"]`"#]],
    );
    check_faults(
        &format!(
            "{}components: {{schemas: {{A: {{}}, B: {{}}}}}}\n",
            with_schema(
                "3.0.0",
                "{oneOf: [{$ref: '#/components/schemas/A'}], \
                 discriminator: {propertyName: k, mapping: {b: B, c: C}}}",
            ),
        ),
        expect![[r#"
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/discriminator/mapping/c there is nothing at `#/components/schemas/C`
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/discriminator/mapping maps to api.yaml#/components/schemas/B, which is none of the alternatives"#]],
    );
}

#[test]
fn notes_on_schemas() {
    check_notes(
        &with_schema("3.0.0", "{nullable: true, maxLenght: 3, x-own: 1, exclusiveMaximum: true}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/maxLenght is no keyword that is known here; it checks nothing
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/exclusiveMaximum means nothing without `maximum` beside it
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/nullable means nothing without a `type` beside it (OpenAPI 3.0.3)"#]],
    );
    check_notes(
        &with_schema("3.0.0", "{format: flavour, discriminator: {propertyName: a}}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/format names the format `flavour`, which is not known; it checks nothing
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/discriminator does not choose: that takes `oneOf` or `anyOf` of references only"#]],
    );
    check_notes(
        &with_schema("3.0.0", "{items: {$ref: '#/paths', nullable: true, description: x}}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/items/nullable stands beside a `$ref`, where OpenAPI 3.0 ignores it
        api.yaml:3: #/paths/~1a is no keyword that is known here; it checks nothing"#]],
    );
}
