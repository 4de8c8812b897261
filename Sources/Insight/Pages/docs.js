"use strict";
// Draws /openapi.json as a page to read. No library, no build step.

/** Problems that any route may answer with; the text at the top speaks of them. */
const COMMON = new Set(["400", "401", "403", "408", "413", "414", "417", "431", "500", "503"]);
const byId = (id) => document.getElementById(id);

function add(parent, name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== undefined));
  parent?.append(node);
  return node;
}

/** What a reference points to; anything else as it is. */
function resolve(api, value) {
  if (!value?.$ref) return value;
  return value.$ref.slice(2).split("/").reduce((at, part) => at[part], api);
}

/** A schema as an example of its shape: names, and a word for each value. */
function shape(api, schema, depth = 0) {
  const known = resolve(api, schema);
  if (depth > 6 || !known) return "…";
  if (known.const !== undefined) return known.const;
  if (known.enum) return known.enum.join(" | ");
  const choices = known.anyOf ?? known.oneOf;
  if (choices) return shape(api, choices[0], depth + 1);
  if (known.allOf) return Object.assign({}, ...known.allOf.map((part) => shape(api, part, depth + 1)));
  const type = [known.type].flat().filter((name) => name !== "null")[0];
  if (type === "array") return [shape(api, known.items, depth + 1)];
  if (type === "object" || known.properties) {
    return Object.fromEntries(Object.entries(known.properties ?? {}).map(([name, part]) => [name, shape(api, part, depth + 1)]));
  }
  if (!type) return "any JSON";
  return ([known.type].flat().includes("null") ? "null or " : "") + (known.format === "date-time" ? "time" : type);
}

/** What a value of a parameter may be, in words. */
function values(schema) {
  if (schema.enum) return schema.enum.join(" · ");
  if (schema.minimum !== undefined) return `${schema.minimum} to ${schema.maximum ?? "…"}`;
  return schema.format === "date-time" ? "2026-01-02T03:04:05Z" : "";
}

function table(parent, rows) {
  const body = add(add(parent, "table"), "tbody");
  for (const cells of rows) add(body, "tr", {}, ...cells.map((cell) => add(null, "td", {}, cell)));
}

function bodies(api, parent, content) {
  const byShape = new Map();
  for (const [type, { schema }] of Object.entries(content ?? {})) {
    const known = resolve(api, schema);
    const text = known.type === "string" ? known.description ?? "text" : JSON.stringify(shape(api, schema), null, 2);
    byShape.set(text, [...(byShape.get(text) ?? []), type]);
  }
  for (const [text, types] of byShape) {
    add(parent, "details", {}, add(null, "summary", {}, types.join(", ")), add(null, "pre", { tabindex: "0" }, text));
  }
}

function route(api, path, verb, operation) {
  const article = add(null, "article", { class: "card", id: operation.operationId });
  add(article, "h3", {}, add(null, "span", { class: `verb ${verb}` }, verb.toUpperCase()), ` ${path}`);
  const scope = operation["x-scope"] ? ` Scope: ${operation["x-scope"]}.` : "";
  add(article, "p", {}, `${operation.summary}.${operation.description ? ` ${operation.description}` : ""}`,
    add(null, "span", { class: "quiet" }, scope));
  const parameters = (operation.parameters ?? []).map((parameter) => resolve(api, parameter));
  if (parameters.length > 0) {
    add(article, "h4", {}, "Parameters");
    table(article, parameters.map(({ name, description, schema }) => [
      name, [description, values(schema)].filter(Boolean).join(" ") || "In the path.",
    ]));
  }
  if (operation.requestBody) {
    add(article, "h4", {}, "Body");
    if (operation.requestBody.description) add(article, "p", {}, operation.requestBody.description);
    bodies(api, article, operation.requestBody.content);
  }
  add(article, "h4", {}, "Answers");
  table(article, Object.entries(operation.responses).filter(([status]) => !COMMON.has(status)).map(([status, answer]) => {
    const known = resolve(api, answer), cell = add(null, "div", {}, known.description);
    if (status < "300" || status === "422") bodies(api, cell, known.content);
    return [status, cell];
  }));
  return article;
}

function show(api) {
  byId("title").textContent = `${api.info.title} ${api.info.version}`;
  byId("node").textContent = `${api.info.summary} ${api.info.description}`;
  const contents = byId("contents"), routes = byId("routes");
  for (const { name } of api.tags) {
    add(contents, "h2", {}, name);
    add(routes, "h2", {}, name);
    for (const [path, item] of Object.entries(api.paths)) {
      for (const [verb, operation] of Object.entries(item)) {
        if (operation.tags[0] !== name) continue;
        add(contents, "a", { href: `#${operation.operationId}` }, operation.summary);
        routes.append(route(api, path, verb, operation));
      }
    }
  }
  if (location.hash) byId(location.hash.slice(1))?.scrollIntoView();
}

fetch("/openapi.json").then((answer) => answer.json()).then(show).catch((error) => {
  byId("notice").hidden = false;
  byId("notice").textContent = `The description could not be loaded: ${error.message}`;
});
