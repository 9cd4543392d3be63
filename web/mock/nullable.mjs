// Figures that the mock's data lack are null, as they are of rows from before a figure was kept.

import { readFileSync } from "node:fs";

const { components } = JSON.parse(readFileSync(new URL("../../schemas/openapi.json", import.meta.url), "utf8"));

/** Adds what is missing of a document of the contract and may be null. */
export function complete(schema, value) {
  if (schema.$ref) return complete(components.schemas[schema.$ref.split("/").at(-1)], value);
  for (const choice of schema.oneOf ?? schema.anyOf ?? []) if (choice.$ref) complete(choice, value);
  if (Array.isArray(value)) value.forEach((each) => complete(schema.items ?? {}, each));
  else if (value !== null && typeof value === "object") {
    const { properties = {}, required = [], additionalProperties } = schema;
    for (const name of required) if (!(name in value) && isNullable(properties[name] ?? {})) value[name] = null;
    for (const [name, each] of Object.entries(value)) {
      const of = properties[name] ?? additionalProperties;
      if (typeof of === "object") complete(of, each);
    }
  }
  return value;
}

export const completeDetail = (detail) => complete(components.schemas.DetailJson, detail);

const isNullable = ({ type, oneOf, anyOf }) => [type].flat().includes("null") || (oneOf ?? anyOf ?? []).some(isNullable);
