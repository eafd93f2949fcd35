//! Parameters, wherever they are.

use super::*;

const ID: &str = "\nX-Request-ID: 2f1acc6c-3d3f-4c8e-9f51-000000000000";

#[test]
fn parameters_of_every_place() {
    let api = pets_3_0();
    let check = |query: &str, fields: &str, expected| {
        check_head(api, &format!("GET /api/v2/pets{query}{ID}{fields}"), expected);
    };
    check(
        "",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets",
        expect![[r#"
        GET /pets
        header X-Request-Id "" is missing [pets-3.0.yaml#/paths/~1pets/get/parameters/6]
    "#]],
    );
    check(
        "?limit=100&other=1",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?limit=0",
        "",
        expect![[r#"
        GET /pets
        query limit "" must be more than 0 [pets-3.0.yaml#/components/parameters/Limit/schema/exclusiveMinimum]
    "#]],
    );
    check(
        "?limit=1.5&limit=2",
        "",
        expect![[r#"
        GET /pets
        query limit "" is there more than once [pets-3.0.yaml#/components/parameters/Limit]
    "#]],
    );
    check(
        "?limit=ten",
        "",
        expect![[r#"
        GET /pets
        query limit "" must be an integer, not a string [pets-3.0.yaml#/components/parameters/Limit/schema/type]
    "#]],
    );
    check(
        "?limit=%zz",
        "",
        expect![[r#"
        GET /pets
        query limit "" is not percent-encoded UTF-8 [pets-3.0.yaml#/components/parameters/Limit]
    "#]],
    );
    check(
        "?tags=aa&tags=b&tags=cc&tags=dd",
        "",
        expect![[r#"
        GET /pets
        query tags "" must not have more than 3 items [pets-3.0.yaml#/paths/~1pets/get/parameters/1/schema/maxItems]
        query tags "/1" must have 2 characters at least [pets-3.0.yaml#/paths/~1pets/get/parameters/1/schema/items/minLength]
    "#]],
    );
    check(
        "?kinds=cat%7Cdog",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?kinds=cat|bird",
        "",
        expect![[r#"
        GET /pets
        query kinds "/1" must be one of `cat`, `dog` [pets-3.0.yaml#/paths/~1pets/get/parameters/2/schema/items/enum]
    "#]],
    );
    check(
        "?filter[name]=x&filter[age]=3",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?filter[age]=-3&filter[size]=1",
        "",
        expect![[r#"
        GET /pets
        query filter "/age" must not be less than 0 [pets-3.0.yaml#/paths/~1pets/get/parameters/3/schema/properties/age/minimum]
        query filter "" must not have the property `size` [pets-3.0.yaml#/paths/~1pets/get/parameters/3/schema/additionalProperties]
    "#]],
    );
    check(
        "?filter[age][min]=3",
        "",
        expect![[r#"
        GET /pets
        query filter "" is nested too deep in `filter[age][min]` [pets-3.0.yaml#/paths/~1pets/get/parameters/3]
    "#]],
    );
    check(
        "?exact",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?exact=maybe",
        "",
        expect![[r#"
        GET /pets
        query exact "" must be a boolean, not a string [pets-3.0.yaml#/paths/~1pets/get/parameters/4/schema/type]
    "#]],
    );
    check(
        "?within=%7B%22lat%22%3A1%7D",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?within=%7B%22lat%22%3A%22x%22%7D",
        "",
        expect![[r#"
        GET /pets
        query within "/lat" must be a number, not a string [pets-3.0.yaml#/paths/~1pets/get/parameters/5/content/application~1json/schema/properties/lat/type]
    "#]],
    );
    check(
        "?within=%7B%22lat%22%3A1%2C%22lat%22%3A2%7D",
        "",
        expect![[r#"
        GET /pets
        query within "/lat" occurs twice in its object [pets-3.0.yaml#/paths/~1pets/get/parameters/5]
    "#]],
    );
    check(
        "",
        "\nx-request-id: again",
        expect![[r#"
        GET /pets
        header X-Request-Id "" is there more than once [pets-3.0.yaml#/paths/~1pets/get/parameters/6]
    "#]],
    );
    check(
        "",
        "\nX-Flags: 1, 2\nX-Flags: 3",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?%ff=1&limit=0",
        "",
        expect![[r#"
        GET /pets
        query %ff "" has a name that is not percent-encoded UTF-8 [pets-3.0.yaml#/paths/~1pets/get]
    "#]],
    );
    check(
        &format!("?{}", "a&".repeat(101)),
        "",
        expect![[r#"
        GET /pets
        query  "" has more than 100 parameters [pets-3.0.yaml#/paths/~1pets/get]
    "#]],
    );
    check(
        "",
        "\nX-Flags: 1, x",
        expect![[r#"
        GET /pets
        header X-Flags "/1" must be an integer, not a string [pets-3.0.yaml#/paths/~1pets/get/parameters/7/schema/items/type]
    "#]],
    );
    check(
        "",
        "\nCookie: a=b; session=abcd1234",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "",
        "\nCookie: session=short",
        expect![[r#"
        GET /pets
        cookie session "" must match the pattern `^[a-z0-9]{8}$` [pets-3.0.yaml#/paths/~1pets/get/parameters/9/schema/pattern]
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets/0",
        expect![[r#"
        GET /pets/{id}
        path id "" must not be less than 1 [pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/parameters/0/schema/minimum]
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets/99999999999999999999",
        expect![[r#"
        GET /pets/{id}
        path id "" must not be more than 9223372036854775807 [pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/parameters/0/schema/maximum]
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets/%31",
        expect![[r#"
        GET /pets/{id}
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets/%ff",
        expect![[r#"
        GET /pets/{id}
        path id "" is not percent-encoded UTF-8 [pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/parameters/0]
    "#]],
    );
}
