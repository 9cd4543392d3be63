// Whether a document is what schemas/openapi.json promises: every required field, no other, and the types.

import { readFileSync } from "node:fs";

const { components } = JSON.parse(readFileSync(new URL("../../schemas/openapi.json", import.meta.url), "utf8"));

/** One line per breach, empty when there is none. */
export function breaches(name, value) {
  return against(components.schemas[name], value, name);
}

function against(schema, value, at) {
  if (schema.$ref) return against(components.schemas[schema.$ref.split("/").at(-1)], value, at);
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) {
    const all = choices.map((choice) => against(choice, value, at));
    return all.some((found) => found.length === 0) ? [] : (all.find((found) => !found[0].includes(" is not null")) ?? all[0]);
  }
  const types = [schema.type].flat().filter(Boolean);
  if (types.length > 0 && !types.some((type) => isA(type, value))) return [`${at}: ${JSON.stringify(value)?.slice(0, 40)} is not ${types.join(" or ")}`];
  if (Array.isArray(value)) return value.flatMap((each, i) => against(schema.items ?? {}, each, `${at}[${i}]`));
  if (value === null || typeof value !== "object") return [];
  const { properties = {}, required = [], additionalProperties } = schema;
  const missing = required.filter((key) => !(key in value)).map((key) => `${at}.${key} is missing`);
  return missing.concat(
    Object.entries(value).flatMap(([key, each]) => {
      const of = properties[key] ?? additionalProperties;
      return of ? against(of, each, `${at}.${key}`) : [`${at}.${key} is not in the contract`];
    }),
  );
}

function isA(type, value) {
  switch (type) {
    case "null":
      return value === null;
    case "integer":
      return Number.isInteger(value);
    case "array":
      return Array.isArray(value);
    case "object":
      return value !== null && typeof value === "object" && !Array.isArray(value);
    default:
      return typeof value === type && !(type === "number" && !Number.isFinite(value));
  }
}
