// Every contacts call of Mailtrap's own Node SDK against a local Mailtrap; prints one JSON object of what came back.
// Run by test_node_sdk.py with the API's origin, the token and the account id.
const [origin, token, accountId] = process.argv.slice(2);
// The SDK knows no other host than Mailtrap's, and reads it when it is loaded.
const inside = require("path").dirname(require.resolve("mailtrap"));
require(`${inside}/config`).default.CLIENT_SETTINGS.GENERAL_ENDPOINT = origin;
const { MailtrapClient } = require("mailtrap");

const client = new MailtrapClient({ token, accountId: Number(accountId) });
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const refused = (promise) => promise.then(() => "no error", (error) => error.message);

async function ended(api, id) {
  for (let tries = 0; tries < 200; tries += 1) {
    const job = await api.get(id);
    if (job.status === "finished") return job;
    await wait(20);
  }
  throw new Error("the job does not end");
}

async function main() {
  const seen = {};
  const list = await client.contactLists.create({ name: "Customers" });
  seen.lists = [await client.contactLists.getList(), await client.contactLists.get(list.id)];
  seen.renamed = await client.contactLists.update(list.id, { name: "Former" });
  const field = await client.contactFields.create({ name: "Age", data_type: "integer", merge_tag: "age" });
  seen.fields = [(await client.contactFields.getList()).length, await client.contactFields.get(field.id)];
  seen.field = await client.contactFields.update(field.id, { name: "Years" });
  const made = await client.contacts.create({ email: "Ada@example.com", fields: { age: 7 }, list_ids: [list.id] });
  seen.made = made.data;
  seen.found = (await client.contacts.get("ada@example.com")).data;
  seen.updated = await client.contacts.update(made.data.id, { email: "ada@example.com", unsubscribed: true });
  seen.event = await client.contactEvents.create("ada@example.com", { name: "Login", params: { n: 1 } });
  const started = await client.contactImports.create({ contacts: [{ email: "b@example.com" }, { email: "c@example.com" }] });
  seen.started = started.status;
  seen.imported = await ended(client.contactImports, started.id);
  seen.refusedImport = await refused(client.contactImports.create({ contacts: [{ email: "nope" }] }));
  const filters = [{ name: "subscription_status", operator: "equal", value: "subscribed" }];
  seen.exported = await ended(client.contactExports, (await client.contactExports.create({ filters })).id);
  seen.suppressions = await client.suppressions.getList();
  await client.contacts.delete(made.data.id);
  seen.gone = await refused(client.contacts.get(made.data.id));
  await client.contactFields.delete(field.id);
  await client.contactLists.delete(list.id);
  seen.accounts = await client.general.accounts.getAllAccounts();
  console.log(JSON.stringify(seen));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
