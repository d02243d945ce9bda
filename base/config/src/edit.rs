//! Reads and changes one value of a file in place: comments, order and spacing of everything else
//! stay as their author left them.

use toml_edit::{DocumentMut, Item, Table, TableLike, TomlError, Value};

use crate::path::{PathError, Step, TreePath};
use crate::schema::{Form, Shape, UnknownPath};

/// Why a value was not read or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EditError {
    /// The path cannot be read.
    #[error(transparent)]
    Path(#[from] PathError),
    /// No value can have that path.
    #[error(transparent)]
    Unknown(#[from] UnknownPath),
    /// The file is not TOML.
    #[error("the file is not TOML: {0}")]
    Toml(#[from] TomlError),
    /// Nothing is set there.
    #[error("{path} is not set{hint}")]
    Unset {
        /// The path asked for.
        path: String,
        /// What is known about it.
        hint: String,
    },
    /// The change does not fit what is there.
    #[error("{path}: {why}")]
    Misfit {
        /// The path asked for.
        path: String,
        /// What stands in the way.
        why: &'static str,
    },
}

/// The value at `path` as TOML: a value as it is written after `=`, a table as a document.
///
/// # Errors
/// When the path is no path of a configuration, or nothing is set there.
pub fn get(text: &str, path: &str) -> Result<String, EditError> {
    let path: TreePath = path.parse()?;
    let shape = Shape::at(&path)?;
    let document: DocumentMut = text.parse()?;
    let mut here = document.as_item();
    let mut owned;
    for step in path.steps() {
        let next = match step {
            Step::Key(key) => here.get(key.as_str()),
            Step::Index(index) => match here {
                Item::ArrayOfTables(list) => match list.get(*index) {
                    Some(row) => {
                        owned = Item::Table(row.clone());
                        Some(&owned)
                    }
                    None => None,
                },
                Item::Value(_) | Item::Table(_) | Item::None => here.get(*index),
            },
        };
        here = next.ok_or_else(|| unset_error(&path, shape))?;
    }
    Ok(print(here))
}

fn unset_error(path: &TreePath, shape: Shape) -> EditError {
    let hint = shape.description().map_or(String::new(), |text| format!(" ({text})"));
    EditError::Unset { path: path.to_string(), hint }
}

fn print(item: &Item) -> String {
    match item {
        Item::Value(value) => {
            let mut value = value.clone();
            value.decor_mut().clear();
            value.to_string()
        }
        Item::Table(table) => {
            let mut table = table.clone();
            table.decor_mut().clear();
            DocumentMut::from(table).to_string().trim_start().to_owned()
        }
        Item::ArrayOfTables(list) => {
            let mut list = list.clone().into_array();
            list.decor_mut().clear();
            list.to_string().trim().to_owned()
        }
        Item::None => String::new(),
    }
}

/// `text` with the value at `path` set. `value` is TOML, or else a text: `1h` means `"1h"`.
/// The caller checks the result with [`crate::load`].
///
/// # Errors
/// When the path is no path of a configuration, or leads through something that is no table.
pub fn set(text: &str, path: &str, value: &str) -> Result<String, EditError> {
    let path: TreePath = path.parse()?;
    let shape = Shape::at(&path)?;
    let mut document: DocumentMut = text.parse()?;
    let value = read_value(value, shape);
    let misfit = |why| EditError::Misfit { path: path.to_string(), why };
    let Some((last, way)) = path.steps().split_last() else {
        return Err(misfit("the file as a whole is not a value"));
    };
    let parent = descend(document.as_item_mut(), way).map_err(misfit)?;
    match last {
        Step::Key(key) => put(parent, key, value).map_err(misfit)?,
        Step::Index(index) => replace(parent, *index, value).map_err(misfit)?,
    }
    Ok(document.to_string())
}

/// `text` without the value at `path`.
///
/// # Errors
/// When the path is no path of a configuration, or nothing is set there.
pub fn unset(text: &str, path: &str) -> Result<String, EditError> {
    let path: TreePath = path.parse()?;
    let shape = Shape::at(&path)?;
    let mut document: DocumentMut = text.parse()?;
    let Some((last, way)) = path.steps().split_last() else {
        return Err(EditError::Misfit { path: String::new(), why: "the file as a whole stays" });
    };
    let mut here = document.as_item_mut();
    for step in way {
        here = child(here, step).ok_or_else(|| unset_error(&path, shape))?;
    }
    let gone = match last {
        Step::Key(key) => here.as_table_like_mut().is_some_and(|table| table.remove(key).is_some()),
        Step::Index(index) => remove_row(here, *index),
    };
    if gone { Ok(document.to_string()) } else { Err(unset_error(&path, shape)) }
}

fn remove_row(list: &mut Item, index: usize) -> bool {
    match list {
        Item::Value(Value::Array(rows)) if index < rows.len() => {
            rows.remove(index);
            true
        }
        Item::ArrayOfTables(rows) if index < rows.len() => {
            rows.remove(index);
            true
        }
        Item::Value(_) | Item::ArrayOfTables(_) | Item::Table(_) | Item::None => false,
    }
}

/// `text` as TOML when it is and when a text is not wanted there; else as a text.
fn read_value(text: &str, shape: Shape) -> Value {
    let parsed = text.trim().parse::<Value>();
    match (parsed, shape.form()) {
        (Ok(value @ Value::String(_)), _) => value,
        (Ok(_), Form::Text(_) | Form::Choice(_)) | (Err(_), _) => Value::from(text),
        (
            Ok(value),
            Form::Record(_)
            | Form::Map(_)
            | Form::List(_)
            | Form::Integer(..)
            | Form::Number
            | Form::Truth,
        ) => value,
    }
}

fn child<'a>(item: &'a mut Item, step: &Step) -> Option<&'a mut Item> {
    match step {
        Step::Key(key) => item.as_table_like_mut()?.get_mut(key),
        Step::Index(index) => item.get_mut(*index),
    }
}

/// The table or list that `way` leads to; tables on the way are made when they do not exist.
fn descend<'a>(root: &'a mut Item, way: &[Step]) -> Result<&'a mut Item, &'static str> {
    let mut here = root;
    for step in way {
        if let Step::Key(key) = step {
            let table = here.as_table_like_mut().ok_or(NOT_A_TABLE)?;
            if !table.contains_key(key) {
                let new = if is_written_inline(table) {
                    Item::Value(Value::InlineTable(toml_edit::InlineTable::new()))
                } else {
                    let mut new = Table::new();
                    // No header of its own as long as only tables are below it.
                    new.set_implicit(true);
                    Item::Table(new)
                };
                table.insert(key, new);
            }
        }
        here = child(here, step).ok_or("there is no such element")?;
    }
    Ok(here)
}

const NOT_A_TABLE: &str = "something on the way there is not a table";

/// Whether new tables below `table` are written inline, as their neighbours are.
fn is_written_inline(table: &dyn TableLike) -> bool {
    let neighbour = |item: &Item| item.as_inline_table().is_some();
    let header = |item: &Item| item.is_table();
    table.iter().any(|(_, item)| neighbour(item)) && !table.iter().any(|(_, item)| header(item))
}

fn put(parent: &mut Item, key: &str, mut value: Value) -> Result<(), &'static str> {
    let inline_parent = parent.is_inline_table();
    let table = parent.as_table_like_mut().ok_or(NOT_A_TABLE)?;
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            // What stands around the value, such as a comment behind it, stays.
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        Some(old @ (Item::Table(_) | Item::ArrayOfTables(_))) => match (old, value) {
            (old @ Item::Table(_), Value::InlineTable(new)) => *old = Item::Table(new.into_table()),
            _ => return Err("that is a table; set one of its keys"),
        },
        Some(Item::None) | None => {
            let as_table = !inline_parent && !is_written_inline(table);
            let item = if as_table && value.is_inline_table() {
                Item::Value(value).into_table().map_or_else(|item| item, Item::Table)
            } else {
                Item::Value(value)
            };
            table.insert(key, item);
        }
    }
    Ok(())
}

/// Sets an element of a list, or adds one behind the last.
fn replace(list: &mut Item, index: usize, mut value: Value) -> Result<(), &'static str> {
    const BEYOND: &str = "the list is shorter than that";
    match list {
        Item::Value(Value::Array(rows)) => {
            if index == rows.len() {
                rows.push(value);
                return Ok(());
            }
            let old = rows.get_mut(index).ok_or(BEYOND)?;
            *value.decor_mut() = old.decor().clone();
            *old = value;
            Ok(())
        }
        Item::ArrayOfTables(rows) => {
            let Value::InlineTable(new) = value else {
                return Err("an element of this list is a table: { … }");
            };
            if index == rows.len() {
                rows.push(new.into_table());
                return Ok(());
            }
            *rows.get_mut(index).ok_or(BEYOND)? = new.into_table();
            Ok(())
        }
        Item::Value(_) | Item::Table(_) | Item::None => Err("that is not a list"),
    }
}
