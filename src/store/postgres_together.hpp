#pragma once

#include <span>
#include <string>
#include <vector>

#include "postgres_values.hpp"

// What is written to several rows in one statement, each column of them a parameter. Pure.
namespace nestgate::store {

struct Together {
  std::string statement;  // returns the keys of the rows that it wrote
  std::vector<ArrayOut> columns;
};

// `rows`: at least one. Those whose key is in the table, or that are like another in what is to be unique, are left out.
Together in_one_statement(Insertion const& insertion, std::span<std::vector<SqlValue> const> rows);
// Of rows that differ in their first values, the keys.
Together in_one_statement(RowUpdate const& update, std::span<std::vector<SqlValue> const> rows);

}  // namespace nestgate::store
