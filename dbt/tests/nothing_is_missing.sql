-- Fails as long as paysync knows of time that it wants and has not read.
select * from {{ source('paysync', 'coverage_gaps') }}
