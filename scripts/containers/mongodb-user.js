// Run once by the image of MongoDB, when its volume is empty: the account of the shop, which may do nothing elsewhere.
const { readFileSync } = require("fs");
const roles = ["readWrite", "dbAdmin"];
const shop = process.env.HOLDFAST_DATABASE || "holdfast";
db.getSiblingDB("admin").createUser({
  user: "holdfast",
  pwd: readFileSync("/run/secrets/mongodb_password", "utf8").trim(),
  roles: [shop, `${shop}_index_proof`].flatMap((name) => roles.map((role) => ({ role, db: name }))),
});
