"""United Imaging's uCloud film at 复旦大学附属中山医院."""
