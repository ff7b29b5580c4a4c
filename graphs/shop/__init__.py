"""A small web shop, after WebShop (Yao et al., 2022): made-up products in a SQLite file, and a reward for purchases."""
